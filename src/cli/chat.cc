// stemma chat MODEL: a conversation in the terminal. Replies stream; Ctrl-C ends the reply that is
// being written, not the program; lines from a pipe are taken as one message each.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "cli/dtype_option.h"
#include "cli/sampling_options.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "model/checkpoint.h"
#include "run/scheduler.h"
#include "text/chat_template.h"

namespace stemma::cli {
namespace {

std::atomic<bool> interrupted = false;

// Without SA_RESTART, so that a waiting read ends too.
void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = true; };
  sigaction(SIGINT, &action, nullptr);
}

// Lines of standard input. iostreams do not survive an interrupted read.
class LineReader {
 public:
  enum class Got { line, interrupt, end };
  Got read(std::string& line) {
    for (;;) {
      if (const size_t newline = buffer_.find('\n'); newline != std::string::npos) {
        line = buffer_.substr(0, newline);
        buffer_.erase(0, newline + 1);
        return Got::line;
      }
      char bytes[4096];
      const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (count < 0 && errno == EINTR) return Got::interrupt;
      if (count <= 0) {
        line = std::exchange(buffer_, {});
        return line.empty() ? Got::end : Got::line;
      }
      buffer_.append(bytes, static_cast<size_t>(count));
    }
  }

 private:
  std::string buffer_;
};

struct Chat {
  std::string model, system;
  SamplingOptions sampling{1024};
  DtypeOption dtype;

  void declare(Options& o) {
    o.add("model", model, "Directory or name of a chat model", true);
    o.add("--system", system, "A system message to begin with");
    sampling.declare(o);
    dtype.declare(o);
    o.footer(
        "/clear forgets the conversation, /exit or the end of input leaves. Ctrl-C stops a reply.\n"
        "From a pipe each line is a message; with --json each reply is an object {role, content,\n"
        "finish_reason}. Defaults come from the model's generation_config.json.");
  }

  GenerateOptions options(const std::filesystem::path& directory, const Json& config) const {
    GenerateOptions g = generation_defaults(directory, config);
    g.num_beams = 1;
    sampling.apply("chat", g);
    sampling.settle(g.sampling);
    return g;
  }

  std::vector<Json> opening() const {
    if (system.empty()) return {};
    return {Json::object({{"role", "system"}, {"content", system}})};
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const std::filesystem::path directory = resolve_model(model);
    const ChatTemplate chat = ChatTemplate::load(directory);
    const Tokenizer tokenizer = Tokenizer::load(directory);
    const Checkpoint checkpoint = load_checkpoint(c, directory, {.format = dtype.format("chat")});
    dtype.tell(session, checkpoint);
    GenerateOptions g = options(directory, checkpoint.config);
    const bool terminal = isatty(STDIN_FILENO) != 0 && !session.json;
    if (terminal) session.notice("/clear forgets the conversation, /exit leaves, Ctrl-C stops");
    catch_interrupts();
    SchedulerOptions scheduling;
    scheduling.kept = 1;  // the conversation so far: the next turn goes on from what it shares
    Scheduler scheduler(c, *checkpoint.model, &tokenizer, scheduling);
    std::vector<Json> history = opening();
    LineReader lines;
    for (uint64_t turn = 0;; ++turn) {
      if (terminal) {
        std::fputs("\n> ", stdout);
        std::fflush(stdout);
      }
      std::string line;
      const LineReader::Got got = lines.read(line);
      if (got == LineReader::Got::end) break;
      if (got == LineReader::Got::interrupt) {
        if (terminal) session.notice("\n/exit leaves");
        continue;
      }
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line == "/exit") break;
      if (line == "/clear") {
        history = opening();
        continue;
      }
      if (line.empty()) continue;
      history.push_back(Json::object({{"role", "user"}, {"content", line}}));
      ChatInput input;
      input.messages = Json::array(history);
      input.add_generation_prompt = true;
      const Ints prompt = chat.encode(tokenizer, input, chat.render(input)).ids;
      g.sampling.seed = sampling.seed + turn;
      interrupted = false;
      Generated reply;
      const Scheduler::Id request =
          scheduler.submit({.prompt = prompt,
                            .options = g,
                            .on_token =
                                [&](int32_t, std::string_view text) {
                                  if (!session.json) {
                                    std::fwrite(text.data(), 1, text.size(), stdout);
                                    std::fflush(stdout);
                                  }
                                  return !interrupted;
                                },
                            .on_done = [&](Generated done) { reply = std::move(done); }});
      while (scheduler.step())
        if (interrupted) scheduler.cancel(request);
      check(reply.error.empty(), reply.error);
      session.print("");
      const Json message = Json::object({{"role", "assistant"}, {"content", reply.text}});
      if (session.json) {
        Json object = message;
        object.set("finish_reason", reply.finish_reason);
        session.emit(object);
      }
      history.push_back(message);
    }
    return 0;
  }
};

const RegisterVerb<Chat> verb("Run a model", "chat", "Talk with a chat model in the terminal");

}  // namespace
}  // namespace stemma::cli
