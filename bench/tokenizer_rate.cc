// tokenizer_rate DIR FILE: how fast a tokenizer encodes. The file holds a JSON array of texts. Each
// line of standard input is a measurement, "ids 1" or "offsets 2" (threads); the answer is a line
// with the seconds that encoding all texts once took and the number of tokens, after one with the
// seconds that loading took. bench/peers/tokenizer_speed.py asks it in turns with other programs.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/team.h"
#include "text/tokenizer.h"

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int run(const char* directory, const char* file) {
  using namespace stemma;
  const double begin = now();
  const Tokenizer tokenizer = Tokenizer::load(directory);
  std::printf("%.6f\n", now() - begin);
  std::fflush(stdout);
  const Json list = Json::parse_file(file);
  std::vector<std::string_view> texts;
  for (const Json& text : list.items()) texts.push_back(text.as_string());
  std::string what;
  for (int threads; std::cin >> what >> threads;) {
    Team team(threads);
    const double start = now();
    size_t tokens = 0;
    for (const Encoding& encoding :
         tokenizer.encode_batch(texts, team, {.offsets = what == "offsets"}))
      tokens += encoding.ids.size();
    std::printf("%.6f %zu\n", now() - start, tokens);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer_rate DIR FILE\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
