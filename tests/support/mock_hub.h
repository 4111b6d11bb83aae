// A Hugging Face hub on 127.0.0.1, as badly behaved as a test wants it. Serves until destroyed;
// each connection carries one request, and none lives longer than a few seconds.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/sha256.h"

namespace stemma {

struct MockRequest {
  std::string method, path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct MockAnswer {
  int status = 200;
  std::map<std::string, std::string> headers{};  // an empty value: the header is not sent
  std::string body{};
  size_t send = std::string::npos;     // bytes of the body to send before hanging up
  std::chrono::milliseconds delay{0};  // before the first byte
  std::chrono::milliseconds pause{0};  // between pieces of 4 KiB
};

// Answers on 127.0.0.1 by a function.
class MockServer {
 public:
  using Handler = std::function<MockAnswer(const MockRequest&)>;

  explicit MockServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    check(::bind(listener_, generic, size) == 0 && ::listen(listener_, 16) == 0 &&
              ::getsockname(listener_, generic, &size) == 0,
          "[mock] cannot listen");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~MockServer() {
    stopping_ = true;
    acceptor_.join();
    for (std::thread& t : connections_) t.join();
    ::close(listener_);
  }

  std::string url() const { return cat("http://127.0.0.1:", port_); }
  // Orders what the caller does with the handler's data before and after what the handler does. A
  // client in this process orders them by its sockets; around another process, call this.
  void synchronise() const { order_.fetch_add(1, std::memory_order_acq_rel); }
  std::vector<MockRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) connections_.emplace_back([this, fd] { converse(fd); });
    }
  }

  void converse(int fd) {
    const timeval limit{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    std::string text;
    char piece[4096];
    while (text.find("\r\n\r\n") == std::string::npos && text.size() < 65536) {
      const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
      if (got <= 0) break;
      text.append(piece, static_cast<size_t>(got));
    }
    MockRequest request = parse(text);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    synchronise();
    const MockAnswer ready = handler_(request);
    synchronise();
    rest(ready.delay);
    answer(fd, request, ready);
    ::close(fd);
  }

  static MockRequest parse(const std::string& text) {
    MockRequest request;
    const size_t line = text.find("\r\n"), one = text.find(' '), two = text.find(' ', one + 1);
    request.method = text.substr(0, one);
    request.path = text.substr(one + 1, two - one - 1);
    for (size_t at = line + 2; at < text.size();) {
      const size_t end = text.find("\r\n", at), colon = text.find(": ", at);
      if (end == std::string::npos || end == at || colon > end) break;
      std::string name = text.substr(at, colon - at);
      for (char& ch : name) ch = static_cast<char>(std::tolower(static_cast<unsigned char>(ch)));
      request.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  void answer(int fd, const MockRequest& request, const MockAnswer& a) const {
    std::string head = cat("HTTP/1.1 ", a.status, " Mock\r\nConnection: close\r\n");
    if (!a.headers.contains("Content-Length"))
      head += cat("Content-Length: ", a.body.size(), "\r\n");
    for (const auto& [name, value] : a.headers)
      if (!value.empty()) head += cat(name, ": ", value, "\r\n");
    if (!send_all(fd, head + "\r\n") || request.method == "HEAD") return;
    const std::string_view body = std::string_view(a.body).substr(0, a.send);
    constexpr size_t kPiece = 4096;
    for (size_t at = 0; at < body.size() && !stopping_; at += kPiece) {
      if (!send_all(fd, body.substr(at, kPiece))) return;
      rest(a.pause);
    }
  }

  // Sleeps, but not beyond the end.
  void rest(std::chrono::milliseconds time) const {
    constexpr std::chrono::milliseconds kStep{5};
    for (; time.count() > 0 && !stopping_; time -= kStep)
      std::this_thread::sleep_for(std::min(time, kStep));
  }

  static bool send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  Handler handler_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable std::atomic<int> order_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> connections_;  // the acceptor's until it ends
  mutable std::mutex mutex_;
  std::vector<MockRequest> requests_;
};

// One model, org/name, at one commit; `fault` may replace any answer.
class MockHub {
 public:
  struct File {
    std::string content;
    bool large = false;  // kept apart (LFS): redirected to another host, named by its SHA-256
    std::string etag() const {
      Sha256 hash;
      hash.update(content);
      return large ? hash.hex() : hash.hex().substr(0, 40);
    }
  };

  MockHub()
      : storage([this](const MockRequest& r) { return faulty(r, store(r)); }),
        server([this](const MockRequest& r) { return faulty(r, serve(r)); }) {}

  std::string commit = "0123456789abcdef0123456789abcdef01234567";
  std::map<std::string, File> files = {
      {"config.json", {R"({"model_type": "bert"})"}},
      {"tokenizer.json", {"{}"}},
      {"pytorch_model.bin", {"pickled", true}},
      {"model.safetensors", {std::string(100000, 'w') + "end", true}},
  };
  // Changes the answer to a request; `number` counts those for the same method and path from 1.
  std::function<void(const MockRequest&, int number, MockAnswer&)> fault;

  std::string url() const { return server.url(); }
  void synchronise() const {
    storage.synchronise();
    server.synchronise();
  }
  std::string path_of(const std::string& file) const {
    return cat("/org/name/resolve/", commit, "/", file);
  }

  // Requests for bytes of a file at the storage host.
  std::vector<MockRequest> reads(const std::string& file) const {
    std::vector<MockRequest> all;
    for (const MockRequest& r : storage.requests())
      if (r.path == "/" + files.at(file).etag()) all.push_back(r);
    return all;
  }

  // A body or the part of it that is asked for.
  static MockAnswer piece(const MockRequest& r, const std::string& content) {
    const std::string range = r.header("range");
    if (!range.starts_with("bytes=")) return {.body = content};
    const size_t begin = std::stoul(range.substr(6));
    if (begin >= content.size()) return {.status = 416};
    return {.status = 206,
            .headers = {{"Content-Range",
                         cat("bytes ", begin, "-", content.size() - 1, "/", content.size())}},
            .body = content.substr(begin)};
  }

 private:
  MockAnswer faulty(const MockRequest& r, MockAnswer answer) {
    const std::lock_guard lock(mutex_);
    if (fault) fault(r, ++counts_[r.method + r.path], answer);
    return answer;
  }

  MockAnswer store(const MockRequest& r) const {
    for (const auto& [name, file] : files)
      if (file.large && r.path == "/" + file.etag()) {
        MockAnswer answer = piece(r, file.content);
        answer.headers["ETag"] = "\"storage-" + name + "\"";
        return answer;
      }
    return {.status = 404};
  }

  MockAnswer serve(const MockRequest& r) const {
    if (r.path == "/api/models/org/name/revision/main" ||
        r.path == "/api/models/org/name/revision/" + commit) {
      std::string list;
      for (const auto& [name, file] : files)
        list += cat(list.empty() ? "" : ", ", R"({"rfilename": ")", name, "\"}");
      return {.body =
                  cat(R"({"id": "org/name", "sha": ")", commit, R"(", "siblings": [)", list, "]}")};
    }
    if (r.path.starts_with("/api/models/org/name/revision/"))
      return {.status = 404, .headers = {{"X-Error-Code", "RevisionNotFound"}}};
    for (const auto& [name, file] : files) {
      if (r.path != path_of(name)) continue;
      MockAnswer answer;
      if (file.large) {
        answer = {.status = 302,
                  .headers = {{"Location", cat(storage.url(), "/", file.etag())},
                              {"X-Linked-Etag", "\"" + file.etag() + "\""},
                              {"X-Linked-Size", cat(file.content.size())},
                              {"ETag", "\"of-the-redirect\""}}};
      } else {
        answer = piece(r, file.content);
        answer.headers["ETag"] = "W/\"" + file.etag() + "\"";
      }
      answer.headers["X-Repo-Commit"] = commit;
      return answer;
    }
    return {.status = 404, .headers = {{"X-Error-Code", "RepoNotFound"}}};
  }

  std::mutex mutex_;
  std::map<std::string, int> counts_;

 public:
  MockServer storage, server;  // last: they stop before what they answer from is gone
};

}  // namespace stemma
