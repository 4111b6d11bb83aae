#include "base/log.h"

#include <array>
#include <mutex>

#include "base/error.h"

namespace stemma {
namespace {

constexpr std::array<std::string_view, 1> kNames = {"dispatch"};

struct Sinks {
  std::mutex mutex;
  std::array<LogSink, kNames.size()> of;
};
Sinks& sinks() {
  static Sinks all;
  return all;
}

}  // namespace

namespace internal {
std::atomic<unsigned> logged_topics{0};
}

LogTopic log_topic(std::string_view name) {
  std::string known;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<LogTopic>(i);
    known += cat(known.empty() ? "" : ", ", kNames[i]);
  }
  fail(Code::kUsage, "[log] \"", name, "\" is no topic; there are ", known);
}

void set_log_sink(LogTopic topic, LogSink sink) {
  Sinks& all = sinks();
  std::lock_guard lock(all.mutex);
  const unsigned bit = 1u << static_cast<int>(topic);
  if (sink)
    internal::logged_topics.fetch_or(bit);
  else
    internal::logged_topics.fetch_and(~bit);
  all.of[static_cast<size_t>(topic)] = std::move(sink);
}

void log_line(LogTopic topic, std::string_view line) {
  Sinks& all = sinks();
  std::lock_guard lock(all.mutex);
  if (const LogSink& sink = all.of[static_cast<size_t>(topic)]) sink(line);
}

}  // namespace stemma
