#include "hub/client.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "hub/cache.h"
#include "hub/environment.h"

namespace stemma {
namespace {

void check_online() {
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})
    check(!switched_on(name), "[hub] ", name,
          " is set, so nothing is downloaded; `stemma models` lists what is here");
}

std::string read_endpoint() {
  std::string endpoint = variable("HF_ENDPOINT");
  if (endpoint.empty()) endpoint = "https://huggingface.co";
  while (endpoint.ends_with('/')) endpoint.pop_back();
  check(endpoint.starts_with("https://") || endpoint.starts_with("http://"),
        "[hub] HF_ENDPOINT must begin with https:// or http://, found \"", endpoint, "\"");
  return endpoint;
}

std::string read_token() {
  std::string token = variable("HF_TOKEN");
  if (token.empty()) {
    const std::filesystem::path file =
        path_variable("HF_TOKEN_PATH", hugging_face_home() / "token");
    constexpr size_t kLongest = 4096;
    std::error_code absent;
    if (std::filesystem::is_regular_file(file, absent)) token = read_file(file, kLongest);
  }
  std::erase_if(token, [](char ch) { return ch == '\n' || ch == '\r'; });
  token.erase(0, token.find_first_not_of(' '));
  token.erase(token.find_last_not_of(' ') + 1);
  const auto fits = [](char ch) { return ch > 0x20 && ch < 0x7f; };
  check(std::ranges::all_of(token, fits), "[hub] the token holds spaces or control characters");
  return token;
}

int read_timeout() {
  const std::string text = variable("HF_HUB_DOWNLOAD_TIMEOUT");
  int seconds = 10;
  if (!text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    check(error == std::errc() && end == text.data() + text.size() && seconds > 0,
          "[hub] HF_HUB_DOWNLOAD_TIMEOUT must be a number of seconds, found \"", text, "\"");
  }
  return seconds;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

// W/"abc" and "abc" name the blob abc.
std::string plain_etag(std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  std::erase(etag, '"');
  return etag;
}

// The etag of the content itself: behind a redirect, the ETag header would be the redirect's.
std::string etag_of(const HttpAnswer& answer) {
  const std::string linked = plain_etag(answer.header("x-linked-etag"));
  return linked.empty() && !answer.redirects() ? plain_etag(answer.header("etag")) : linked;
}

// Seconds the server asks to wait: Retry-After, or the "t=" of the hub's own RateLimit header.
std::optional<int> asked_wait(const HttpAnswer& answer) {
  if (const auto seconds = number<int>(answer.header("retry-after"))) return std::max(0, *seconds);
  const std::string limits = answer.header("ratelimit");
  const size_t at = limits.find("t=");
  if (answer.status != 429 || at == limits.npos) return {};
  const size_t end = limits.find_first_not_of("0123456789", at + 2);
  return number<int>(std::string_view(limits).substr(at + 2, end - at - 2));
}

bool may_pass(const HttpAnswer& answer) {
  constexpr int kPassing[] = {408, 429, 500, 502, 503, 504};
  return !answer.error.empty() || std::ranges::count(kPassing, answer.status) > 0 ||
         answer.ok();  // a success of the wrong length, as its reader found
}

// A server's words, fit for a terminal.
std::string printable(std::string_view text) {
  constexpr size_t kMost = 200;
  std::string out;
  for (const char ch : text.substr(0, kMost)) out += ch >= 0x20 && ch < 0x7f ? ch : ' ';
  return out;
}

}  // namespace

bool RemoteFile::has_sha256() const {
  return etag.size() == 64 && etag.find_first_not_of("0123456789abcdef") == etag.npos;
}

bool Patience::again(const HttpAnswer& answer, bool progress) {
  if (progress) tries_ = 0;
  if (!may_pass(answer) || tries_ == kMost) return false;
  constexpr int kLongestWait = 300;
  std::chrono::milliseconds wait = first_wait_ * (1 << tries_++);
  if (const auto seconds = asked_wait(answer)) {
    if (*seconds > kLongestWait) return false;
    wait = std::max<std::chrono::milliseconds>(wait, std::chrono::seconds(*seconds));
  }
  if (notice_ && wait >= std::chrono::seconds(1))
    notice_(cat(answer.status == 429 ? "the hub asks to wait" : "the hub does not answer well",
                "; trying again in ", (wait.count() + 500) / 1000, " s"));
  std::this_thread::sleep_for(wait);
  return true;
}

HubClient::HubClient(std::chrono::milliseconds first_wait, Notice notice)
    : endpoint_((check_online(), read_endpoint())),
      token_(read_token()),
      first_wait_(first_wait),
      notice_(std::move(notice)),
      http_(read_timeout()) {}

HttpAnswer HubClient::request(const char* method, std::string url, std::vector<std::string> headers,
                              const HttpSink& sink,
                              const std::function<bool(const HttpAnswer&)>& enough) {
  constexpr int kMostHops = 8;
  for (int hop = 0;; ++hop) {
    std::vector<std::string> sent = headers;
    if (!token_.empty() && origin(url) == origin(endpoint_))
      sent.push_back("Authorization: Bearer " + token_);
    HttpAnswer answer = http_.request(method, url, sent, sink);
    check(answer.status != 0 || reached_, "[hub] cannot reach ", origin(url), ": ", answer.error);
    reached_ = true;
    if (!answer.redirects() || (enough && enough(answer))) return answer;
    check(hop < kMostHops, "[hub] ", endpoint_, " redirects without end, lastly to ",
          origin(answer.location));
    check(!(url.starts_with("https://") && !answer.location.starts_with("https://")), "[hub] ",
          origin(url), " redirects to ", origin(answer.location),
          ", which is not encrypted: refused");
    url = answer.location;
  }
}

HttpAnswer HubClient::patiently(const char* method, const std::string& url,
                                const std::function<bool(const HttpAnswer&)>& enough) {
  Patience patience = this->patience();
  while (true) {
    HttpAnswer answer = request(method, url, {}, {}, enough);
    if (answer.ok() || (enough && enough(answer)) || !patience.again(answer, false)) return answer;
  }
}

std::string HubClient::file_url(const std::string& repo, const std::string& commit,
                                const std::string& name) const {
  return cat(endpoint_, "/", repo, "/resolve/", commit, "/", url_encoded(name, "/"));
}

std::optional<Revision> HubClient::revision(const ModelName& name) {
  const std::string wanted = name.revision.empty() ? "main" : name.revision;
  const HttpAnswer answer = patiently(
      "GET", cat(endpoint_, "/api/models/", name.repo, "/revision/", url_encoded(wanted)), {});
  const std::string code = answer.header("x-error-code");
  if (code == "RevisionNotFound")
    fail(Code::kNotFound, "[hub] ", name.repo, " has no revision \"", wanted, "\"");
  // The hub answers 401 for what does not exist too, so as not to tell what is private.
  const bool unknown = answer.status == 404 || code == "RepoNotFound" ||
                       (answer.status == 401 && code != "GatedRepo" && token_.empty());
  if (answer.error.empty() && unknown) return std::nullopt;
  if (!answer.ok()) refuse(name.text(), answer);

  const std::string where = cat("answer of ", endpoint_, " on ", name.repo);
  const Json info = Json::parse(answer.body, where);
  Revision revision{.commit = info.at("sha").as_string()};
  check(is_commit(revision.commit), "[", where, "] \"sha\" must be a commit, found \"",
        printable(revision.commit), "\"");
  constexpr size_t kMostFiles = 100000;
  const auto& siblings = info.at("siblings").items();
  check(siblings.size() <= kMostFiles, "[", where, "] lists ", siblings.size(), " files");
  for (const Json& sibling : siblings) {
    const std::string& file = sibling.at("rfilename").as_string();
    check(is_inner_path(file), "[", where, "] a file is named \"", printable(file),
          "\", which may lie outside of the model's folder: refused");
    revision.files.push_back(file);
  }
  return revision;
}

RemoteFile HubClient::file(const std::string& repo, const std::string& commit,
                           const std::string& name) {
  const std::string url = file_url(repo, commit, name);
  const HttpAnswer answer = patiently("HEAD", url, [&](const HttpAnswer& a) {
    return a.redirects() && !a.header("x-linked-etag").empty();
  });
  if (!answer.ok() && !answer.redirects()) refuse(cat(repo, ": ", name), answer);
  RemoteFile file{.name = name, .etag = etag_of(answer)};
  constexpr size_t kLongestEtag = 128;
  check(is_inner_path(file.etag) && file.etag.find('/') == file.etag.npos &&
            file.etag.size() <= kLongestEtag,
        "[hub] ", url, " has no usable ETag (\"", printable(file.etag),
        "\"): is HF_ENDPOINT a Hugging Face hub?");
  const std::string told = answer.header("x-repo-commit");
  check(told.empty() || told == commit, "[hub] ", url, " belongs to commit ", printable(told));
  const std::string linked = answer.header("x-linked-size");
  file.bytes = number<uint64_t>(!linked.empty()       ? linked
                                : !answer.redirects() ? answer.header("content-length")
                                                      : "");
  return file;
}

HttpAnswer HubClient::read(const std::string& repo, const std::string& commit,
                           const RemoteFile& file, uint64_t begin, const HttpSink& sink,
                           bool& changed) {
  std::vector<std::string> headers;
  if (begin > 0) headers.push_back(cat("Range: bytes=", begin, "-"));
  const std::string url = file_url(repo, commit, file.name);
  const auto differs = [&](const HttpAnswer& answer) {
    const std::string etag = etag_of(answer);
    return !etag.empty() && etag != file.etag;
  };
  bool first = true;  // of the chain: the hub itself, whose etags are the blobs' names
  changed = false;
  return request(
      "GET", url, headers,
      [&](const HttpAnswer& answer, std::string_view bytes) {
        if (first && differs(answer)) changed = true;
        return !changed && sink(answer, bytes);
      },
      [&](const HttpAnswer& answer) {
        if (first && differs(answer)) changed = true;
        first = false;
        return changed;
      });
}

void HubClient::refuse(const std::string& what, const HttpAnswer& answer) const {
  std::string said = printable(answer.header("x-error-message"));
  if (said.empty()) said = printable(answer.error);
  if (!said.empty()) said = " (" + said + ")";
  const std::string begin = cat("[hub] ", what, ": ", endpoint_);
  const bool gated = answer.header("x-error-code") == "GatedRepo";
  if (answer.status == 404) fail(Code::kNotFound, begin, " does not have it", said);
  if (gated || answer.status == 403)
    fail(Code::kFailed, begin, " wants its conditions accepted first", said, ": open ", endpoint_,
         "/", what.substr(0, what.find_first_of("@:")), " in a browser, accept them, and ",
         token_.empty() ? "set HF_TOKEN to a token of that account"
                        : "see that the token may read it");
  if (answer.status == 401)
    fail(Code::kFailed, begin,
         token_.empty() ? " wants a token: set HF_TOKEN, or run `hf auth login`"
                        : " does not accept the token: see HF_TOKEN, or run `hf auth login`",
         said);
  if (answer.status == 429)
    fail(Code::kFailed, begin, " has had too many requests from here", said, ": try again",
         answer.header("retry-after").empty()
             ? " later"
             : cat(" in ", printable(answer.header("retry-after")), " s"));
  fail(Code::kFailed, begin, answer.status == 0 ? " broke off" : cat(" answered ", answer.status),
       said, "; the same command tries again");
}

}  // namespace stemma
