// Log: what the library can say about its own doings, by topic. It prints nothing itself: a program
// installs a sink for each topic that its user asked for, and where there is none, nothing is even
// worded. Thread safety: install sinks before other threads compute; lines may come from any
// thread, one at a time.
#pragma once

#include <atomic>
#include <functional>
#include <string_view>

namespace stemma {

enum class LogTopic {
  dispatch,  // which kernel serves each op, and why others refused
};

// "dispatch" -> LogTopic::dispatch. Errors: a name that is no topic (usage), with those that are.
LogTopic log_topic(std::string_view name);

using LogSink = std::function<void(std::string_view line)>;
void set_log_sink(LogTopic topic, LogSink sink);  // an empty one: silence

namespace internal {
extern std::atomic<unsigned> logged_topics;  // one bit each
}

inline bool logs(LogTopic topic) {
  return internal::logged_topics.load(std::memory_order_relaxed) >> static_cast<int>(topic) & 1;
}
// One line, without its end. Goes nowhere where nobody listens.
void log_line(LogTopic topic, std::string_view line);

}  // namespace stemma
