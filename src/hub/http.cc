#include "hub/http.h"

#ifdef STEMMA_CURL
#include <curl/curl.h>
#endif

#include <algorithm>
#include <exception>

#include "base/error.h"
#include "hub/environment.h"

namespace stemma {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& ch : out)
    if (ch >= 'A' && ch <= 'Z') ch = static_cast<char>(ch - 'A' + 'a');
  return out;
}

}  // namespace

std::string HttpAnswer::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::string origin(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == url.npos) return "";
  std::string text = lower(url.substr(0, url.find_first_of("/?#", scheme + 3)));
  for (const auto& [prefix, port] : {std::pair("http://", ":80"), std::pair("https://", ":443")})
    if (text.starts_with(prefix) && text.ends_with(port))
      text.resize(text.size() - std::string_view(port).size());
  return text;
}

std::string url_encoded(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char ch : text) {
    const auto byte = static_cast<unsigned char>(ch);
    const bool plain = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                       (ch >= 'A' && ch <= 'Z') || std::string_view("-._~").find(ch) < 4;
    if (plain || kept.find(ch) != kept.npos)
      out += ch;
    else
      out += {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
  }
  return out;
}

#ifdef STEMMA_CURL

namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// Enters a line "Name: value"; a status line begins a new answer.
void read_header(std::string_view line, HttpAnswer& answer) {
  if (line.starts_with("HTTP/")) answer.headers.clear();
  const size_t colon = line.find(':');
  if (colon == line.npos) return;
  answer.headers[lower(trimmed(line.substr(0, colon)))] = trimmed(line.substr(colon + 1));
}

}  // namespace

struct Http::Handle {
  CURL* curl = nullptr;
  char reason[CURL_ERROR_SIZE] = "";

  // Of the request that runs.
  HttpAnswer* answer = nullptr;
  const HttpSink* sink = nullptr;
  std::exception_ptr thrown;  // by the sink; not through C's frames

  void read_status() {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    answer->status = static_cast<int>(status);
  }

  static size_t take_header(char* data, size_t, size_t bytes, void* self) {
    read_header({data, bytes}, *static_cast<Handle*>(self)->answer);
    return bytes;
  }

  static size_t take_body(char* data, size_t, size_t bytes, void* self) {
    auto& handle = *static_cast<Handle*>(self);
    HttpAnswer& answer = *handle.answer;
    handle.read_status();
    const bool success = answer.status >= 200 && answer.status < 300;
    if (!success || !*handle.sink) {
      if (answer.body.size() + bytes > HttpAnswer::kMostBody) return 0;
      answer.body.append(data, bytes);
      return bytes;
    }
    try {
      return (*handle.sink)(answer, {data, bytes}) ? bytes : 0;
    } catch (...) {
      handle.thrown = std::current_exception();
      return 0;
    }
  }
};

Http::Http(int seconds) : handle_(std::make_unique<Handle>()) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* curl = ready == CURLE_OK ? curl_easy_init() : nullptr;
  check(curl != nullptr, "[http] libcurl does not start");
  handle_->curl = curl;
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "stemma");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(seconds));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(seconds));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, handle_->reason);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Handle::take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, handle_.get());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Handle::take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, handle_.get());
  // Certificates of one's own, where other tools look for them (libcurl asks no variable): the
  // first.
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
    if (const std::string file = variable(name); !file.empty()) {
      curl_easy_setopt(curl, CURLOPT_CAINFO, file.c_str());
      break;
    }
}

Http::~Http() {
  if (handle_) curl_easy_cleanup(handle_->curl);
}

HttpAnswer Http::request(const char* method, const std::string& url,
                         const std::vector<std::string>& headers, const HttpSink& sink) {
  HttpAnswer answer;
  Handle& handle = *handle_;
  handle.answer = &answer;
  handle.sink = &sink;
  handle.thrown = nullptr;
  handle.reason[0] = '\0';
  CURL* curl = handle.curl;
  // Lengths are the file's own only where nothing is compressed on the way.
  curl_slist* list = curl_slist_append(nullptr, "Accept-Encoding: identity");
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  const bool head = std::string_view(method) == "HEAD";
  curl_easy_setopt(curl, CURLOPT_NOBODY, head ? 1L : 0L);
  if (!head) curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, nullptr);
  curl_slist_free_all(list);
  if (handle.thrown) std::rethrow_exception(handle.thrown);
  handle.read_status();
  if (char* location = nullptr;
      curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location) == CURLE_OK && location)
    answer.location = location;
  if (code != CURLE_OK) answer.error = handle.reason[0] ? handle.reason : curl_easy_strerror(code);
  return answer;
}

#else

struct Http::Handle {};

Http::Http(int) {
  fail(Code::kUnsupported,
       "[http] this build of stemma cannot download: it was made without libcurl (install "
       "libcurl4-openssl-dev and build again, or download with `hf download NAME`)");
}

Http::~Http() = default;

HttpAnswer Http::request(const char*, const std::string&, const std::vector<std::string>&,
                         const HttpSink&) {
  return {};
}

#endif

}  // namespace stemma
