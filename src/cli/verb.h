// Verbs of the command line: one file each. A verb is a struct with its options as members, a
// declare() that names them and a run() that returns the exit status; RegisterVerb enters it.
// Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 unsupported (base/error.h).
// Human output goes to standard output, progress and notices to standard error; with --json
// standard output carries objects only, one a line.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "run/engine.h"

namespace stemma::cli {

// What a verb may declare. A name with dashes is an option, without a positional argument; the
// variable's value when declared is the default shown in --help.
class Options {
 public:
  virtual ~Options() = default;
  virtual void add(const char* name, bool& flag, const char* help) = 0;
  virtual void add(const char* name, std::string& value, const char* help,
                   bool required = false) = 0;
  virtual void add(const char* name, std::vector<std::string>& values, const char* help,
                   bool required = false) = 0;
  virtual void add(const char* name, int& value, const char* help) = 0;
  virtual void add(const char* name, uint64_t& value, const char* help) = 0;
  virtual void add(const char* name, double& value, const char* help) = 0;
  virtual void add(const char* name, std::optional<int>& value, const char* help) = 0;
  virtual void add(const char* name, std::optional<double>& value, const char* help) = 0;
  // Text printed below the options.
  virtual void footer(const char* text) = 0;
};

// What every verb has: --threads and --json.
struct Session {
  Engine& engine;
  bool json;

  // One object on standard output, flushed, so that a pipe sees it at once.
  void emit(const Json& object) const;
  // A line of human output; nothing with --json.
  void print(std::string_view line) const;
  // A line on standard error.
  void notice(std::string_view line) const;
};

struct Verb {
  const char* group;
  const char* name;
  const char* summary;
  // Declares the options and gives the function to run.
  std::function<std::function<int(Session&)>(Options&)> declare;
};

std::vector<Verb>& verbs();

template <class V>
struct RegisterVerb {
  RegisterVerb(const char* group, const char* name, const char* summary) {
    verbs().push_back({group, name, summary, [](Options& options) {
                         auto verb = std::make_shared<V>();
                         verb->declare(options);
                         return [verb](Session& session) { return verb->run(session); };
                       }});
  }
};

// Lines of the files, or of standard input where there are none; without their line ends.
std::vector<std::string> read_lines(const std::vector<std::string>& files);

}  // namespace stemma::cli
