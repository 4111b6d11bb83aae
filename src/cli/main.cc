// The `stemma` program: finds the verb, parses its options, runs it, and turns errors into exit
// codes.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "cli/verb.h"
#include "ops/op.h"
#include "simd/isa.h"

namespace stemma::cli {

std::vector<Verb>& verbs() {
  static std::vector<Verb> all;
  return all;
}

void Session::emit(const Json& object) const {
  const std::string line = object.dump() + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

void Session::print(std::string_view line) const {
  if (!json) std::fprintf(stdout, "%.*s\n", static_cast<int>(line.size()), line.data());
}

void Session::notice(std::string_view line) const {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

std::vector<std::string> read_lines(const std::vector<std::string>& files) {
  std::vector<std::string> lines;
  auto read = [&](std::istream& in) {
    for (std::string line; std::getline(in, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      lines.push_back(std::move(line));
    }
  };
  for (const std::string& path : files) {
    if (path == "-") {
      read(std::cin);
      continue;
    }
    std::ifstream in(path);
    if (!in) fail(Code::kNotFound, "[input] cannot open ", path);
    read(in);
    check(!in.bad(), "[input] cannot read ", path);
  }
  if (files.empty()) read(std::cin);
  return lines;
}

namespace {

class CliOptions : public Options {
 public:
  explicit CliOptions(CLI::App& app) : app_(app) {}
  void add(const char* name, bool& flag, const char* help) override {
    app_.add_flag(name, flag, help);
  }
  void add(const char* name, std::string& value, const char* help, bool required) override {
    auto* option = app_.add_option(name, value, help)->required(required);
    if (!value.empty()) option->capture_default_str();
  }
  void add(const char* name, std::vector<std::string>& values, const char* help,
           bool required) override {
    auto* option = app_.add_option(name, values, help)->required(required);
    // An option takes one value each time it is given; what follows may be a positional argument.
    if (name[0] == '-') option->allow_extra_args(false);
  }
  void add(const char* name, int& value, const char* help) override { number(name, value, help); }
  void add(const char* name, uint64_t& value, const char* help) override {
    number(name, value, help);
  }
  void add(const char* name, double& value, const char* help) override {
    number(name, value, help);
  }
  void add(const char* name, std::optional<int>& value, const char* help) override {
    app_.add_option(name, value, help);
  }
  void add(const char* name, std::optional<double>& value, const char* help) override {
    app_.add_option(name, value, help);
  }
  void footer(const char* text) override { app_.footer(text); }

 private:
  template <class T>
  void number(const char* name, T& value, const char* help) {
    app_.add_option(name, value, help)->capture_default_str();
  }
  CLI::App& app_;
};

// STEMMA_VERBOSE=topic,topic: what the library says about its doings goes to standard error.
void listen() {
  const char* text = std::getenv("STEMMA_VERBOSE");
  std::istringstream topics(text ? text : "");
  for (std::string topic; std::getline(topics, topic, ',');)
    set_log_sink(log_topic(topic), [topic](std::string_view line) {
      std::fprintf(stderr, "%s: %.*s\n", topic.c_str(), static_cast<int>(line.size()), line.data());
    });
}

int run(int argc, char** argv) {
  CLI::App app("Stemma: one native engine for the family tree of language models.", "stemma");
  app.set_version_flag("--version", "stemma " STEMMA_VERSION);
  app.require_subcommand(0, 1);
  app.footer(
      "Run 'stemma VERB --help' for the options of a verb.\n"
      "Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 unsupported.\n"
      "Environment: STEMMA_ISA=scalar|avx2|avx512|avx512_bf16|amx caps the CPU level;\n"
      "STEMMA_KERNEL=op:kernel,... asks for kernels by name ('define' is the slow reference);\n"
      "STEMMA_VERBOSE=dispatch says on standard error which kernel serves each op, and why others\n"
      "do not.");
  int threads = 0;
  bool json = false;
  std::map<CLI::App*, std::function<int(Session&)>> actions;
  for (const Verb& verb : verbs()) {
    CLI::App* sub = app.add_subcommand(verb.name, verb.summary);
    sub->group(verb.group);
    CliOptions options(*sub);
    actions[sub] = verb.declare(options);
    sub->add_option("--threads", threads, "Threads to compute with (default: one per core)")
        ->check(CLI::Range(0, 1024));
    sub->add_flag("--json", json, "Objects on standard output, one a line");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(Code::kUsage);
  }
  if (app.get_subcommands().empty()) {
    std::cout << app.help();
    return 0;
  }
  // What is wrong with the environment is an error at once.
  isa();
  pin_kernels_from_environment();
  listen();
  Engine engine(threads);
  Session session{engine, json};
  return actions.at(app.get_subcommands().front())(session);
}

}  // namespace
}  // namespace stemma::cli

int main(int argc, char** argv) {
  try {
    return stemma::cli::run(argc, argv);
  } catch (const stemma::Error& e) {
    std::fprintf(stderr, "stemma: %s\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "stemma: %s\n", e.what());
    return static_cast<int>(stemma::Code::kFailed);
  }
}
