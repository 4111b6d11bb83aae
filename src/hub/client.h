// Conversation with a Hugging Face hub: what a revision holds, what a file is, its bytes.
// From the environment: HF_ENDPOINT, HF_TOKEN or the token of `hf auth login`, HF_HUB_OFFLINE,
// TRANSFORMERS_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT. The token goes to the endpoint and to no other
// host. What may pass by itself (429, 5xx, a cut) is asked again, a bounded number of times.
// Errors: Code::kNotFound for names the hub does not have, Code::kFailed else; messages say what to
// do about it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hub/http.h"
#include "hub/name.h"

namespace stemma {

// What the hub says of a file before sending it.
struct RemoteFile {
  std::string name;
  std::string etag;  // the blob's name: SHA-256 of large files, git's SHA-1 of others
  std::optional<uint64_t> bytes{};  // where the hub says it

  bool has_sha256() const;
};

struct Revision {
  std::string commit;
  std::vector<std::string> files{};
};

// What the user should hear while waiting.
using Notice = std::function<void(std::string_view)>;

// How often to try again, and after what wait.
class Patience {
 public:
  Patience(std::chrono::milliseconds first_wait, Notice notice)
      : first_wait_(first_wait), notice_(std::move(notice)) {}
  // Waits and returns true if the answer is one that may pass and there were fewer than kMost such
  // in a row. Progress makes them count from the start.
  bool again(const HttpAnswer& answer, bool progress);

 private:
  static constexpr int kMost = 5;
  std::chrono::milliseconds first_wait_;
  Notice notice_;
  int tries_ = 0;
};

class HubClient {
 public:
  HubClient(std::chrono::milliseconds first_wait, Notice notice);

  // Nothing where the hub has no such model (or does not show it to this token).
  std::optional<Revision> revision(const ModelName& name);
  RemoteFile file(const std::string& repo, const std::string& commit, const std::string& name);

  // One attempt at the bytes of a file from `begin` on. The answer is for the caller to judge.
  // `changed` is set where the hub by now has another content than `file` says; nothing was read.
  HttpAnswer read(const std::string& repo, const std::string& commit, const RemoteFile& file,
                  uint64_t begin, const HttpSink& sink, bool& changed);

  // The error for an answer that is not a success.
  [[noreturn]] void refuse(const std::string& what, const HttpAnswer& answer) const;

  Patience patience() const { return {first_wait_, notice_}; }

 private:
  HttpAnswer request(const char* method, std::string url, std::vector<std::string> headers,
                     const HttpSink& sink, const std::function<bool(const HttpAnswer&)>& enough);
  HttpAnswer patiently(const char* method, const std::string& url,
                       const std::function<bool(const HttpAnswer&)>& enough);
  std::string file_url(const std::string& repo, const std::string& commit,
                       const std::string& name) const;

  std::string endpoint_, token_;
  std::chrono::milliseconds first_wait_;
  Notice notice_;
  Http http_;
  bool reached_ = false;  // an answer came: later failures to connect may pass
};

}  // namespace stemma
