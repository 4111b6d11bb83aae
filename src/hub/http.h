// HTTP requests one at a time over one kept connection. libcurl is seen by http.cc alone; a build
// without it can do everything but connect, and says so.
// Redirects are not followed: whoever asks decides what may go to another host.
// Errors: what the other side does is told in the answer; Code::kUnsupported without libcurl.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace stemma {

struct HttpAnswer {
  int status = 0;                              // 0: none came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;      // of answers without a sink or without success; at most kMostBody bytes
  std::string location;  // where a redirect leads, in full
  std::string error;     // what kept the answer from being whole; empty where it is

  static constexpr size_t kMostBody = size_t{64} << 20;

  bool ok() const { return status >= 200 && status < 300 && error.empty(); }
  bool redirects() const { return status >= 300 && status < 400 && !location.empty(); }
  // Empty where there is no such header.
  std::string header(const std::string& name) const;
};

// Given the answer so far and a piece of a successful body; returns whether to go on.
using HttpSink = std::function<bool(const HttpAnswer&, std::string_view)>;

class Http {
 public:
  // Gives up on a connection that brings nothing for `seconds`.
  explicit Http(int seconds);
  ~Http();
  HttpAnswer request(const char* method, const std::string& url,
                     const std::vector<std::string>& headers, const HttpSink& sink = {});

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

// "https://host:port" of a URL, in lower case, the usual ports left out.
std::string origin(std::string_view url);

// A path's bytes as they stand in a URL: all but letters, digits, "-._~" and `kept` as %XX.
std::string url_encoded(std::string_view text, std::string_view kept = "");

}  // namespace stemma
