// Generation and scores on a tiny random model over bytes.
#include "run/generate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "run/engine.h"
#include "run/score.h"
#include "run/tiny_model.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

class Generation : public testing::Test {
 protected:
  Generation()
      : engine_(1),
        c_(engine_.ctx()),
        tokenizer_(Tokenizer::bytes()),
        model_(tiny_causal_model(c_)) {
    prompt_ = tokenizer_.encode("To be").ids;
    options_.max_new_tokens = 24;
  }

  Engine engine_;
  Ctx c_;
  Tokenizer tokenizer_;
  std::unique_ptr<Model> model_;
  Ints prompt_;
  GenerateOptions options_;
};

TEST_F(Generation, StreamsExactlyItsText) {
  std::string streamed;
  Ints ids;
  const Generated out =
      generate(c_, *model_, prompt_, options_, &tokenizer_, [&](int32_t id, std::string_view text) {
        if (id >= 0) ids.push_back(id);
        streamed += text;
        return true;
      });
  EXPECT_EQ(out.ids.size(), 24u);
  EXPECT_EQ(out.finish_reason, "length");
  EXPECT_EQ(ids, out.ids);
  EXPECT_EQ(streamed, out.text);
  EXPECT_EQ(out.text, tokenizer_.decode(out.ids));
}

TEST_F(Generation, AnEndOfSequenceStops) {
  const Ints all = generate(c_, *model_, prompt_, options_).ids;
  options_.eos = {all[5]};
  const Generated out = generate(c_, *model_, prompt_, options_, &tokenizer_);
  const auto first = std::find(all.begin(), all.end(), all[5]);
  EXPECT_EQ(out.ids, Ints(all.begin(), first + 1));
  EXPECT_EQ(out.finish_reason, "stop");
  EXPECT_EQ(out.text, tokenizer_.decode(Ints(all.begin(), first)));
}

// A stop string that begins inside one token and ends in another is cut whole, and none of it
// shows.
TEST_F(Generation, AStopStringIsCutAcrossTokens) {
  // Ids of plain letters, so that the text has one character a token.
  const std::string text = generate(c_, *model_, prompt_, options_, &tokenizer_).text;
  for (size_t length : {1, 2, 5}) {
    const size_t at = text.size() / 2;
    const std::string stop = text.substr(at, length);
    options_.stop = {"never there", stop};
    std::string streamed;
    const Generated out =
        generate(c_, *model_, prompt_, options_, &tokenizer_, [&](int32_t, std::string_view piece) {
          streamed += piece;
          return true;
        });
    EXPECT_EQ(out.text, text.substr(0, text.find(stop)));
    EXPECT_EQ(streamed, out.text);
    EXPECT_EQ(out.finish_reason, "stop");
  }
}

TEST_F(Generation, TheCallerStops) {
  int calls = 0;
  const Generated out = generate(c_, *model_, prompt_, options_, nullptr,
                                 [&](int32_t, std::string_view) { return ++calls < 3; });
  EXPECT_EQ(out.ids.size(), 3u);
  EXPECT_EQ(out.finish_reason, "stop");
}

// Greedy means: no other token was more probable at any place, as score() finds it.
TEST_F(Generation, GreedyIsTheMostProbableAtEachPlace) {
  options_.max_new_tokens = 8;
  const Ints ids = generate(c_, *model_, prompt_, options_).ids;
  for (size_t i = 0; i < ids.size(); ++i) {
    Ints text = prompt_;
    text.insert(text.end(), ids.begin(), ids.begin() + static_cast<int64_t>(i + 1));
    const double best = score(c_, *model_, text).logprobs.back();
    for (int32_t other : {65, 66, 200, 256}) {
      text.back() = other;
      EXPECT_LE(score(c_, *model_, text).logprobs.back(), best + 1e-6);
    }
  }
}

TEST_F(Generation, ManyBeamsAreAtLeastAsProbableAsGreedy) {
  options_.max_new_tokens = 6;
  auto total = [&](const Ints& ids) {
    Ints text = prompt_;
    text.insert(text.end(), ids.begin(), ids.end());
    const Score s = score(c_, *model_, text);
    double sum = 0;
    for (size_t i = s.logprobs.size() - ids.size(); i < s.logprobs.size(); ++i)
      sum += s.logprobs[i];
    return sum;
  };
  const double greedy = total(generate(c_, *model_, prompt_, options_).ids);
  options_.num_beams = 20;
  EXPECT_GE(total(generate(c_, *model_, prompt_, options_).ids), greedy - 1e-6);
}

TEST_F(Generation, ScoresOfALongTextComeFromWindows) {
  Ints ids;
  for (int i = 0; i < 100; ++i) ids.push_back((i * 37 + i * i) % 251);
  const Score whole = score(c_, *model_, ids);
  ASSERT_EQ(whole.logprobs.size(), 99u);
  // The first window is scored as it would be alone.
  const Score first = score(c_, *model_, Ints(ids.begin(), ids.begin() + 32));
  for (size_t i = 0; i < 31; ++i) EXPECT_EQ(whole.logprobs[i], first.logprobs[i]);
  double sum = 0;
  for (double p : whole.logprobs) {
    EXPECT_LT(p, 0);
    sum += p;
  }
  EXPECT_NEAR(whole.perplexity, std::exp(-sum / 99), 1e-9 * whole.perplexity);
  EXPECT_EQ(score(c_, *model_, {7}).logprobs.size(), 0u);
}

TEST_F(Generation, TextsScoredTogetherScoreAsAlone) {
  std::vector<Ints> texts;
  for (int i = 1; i < 40; ++i)
    texts.push_back(tokenizer_.encode(std::string(static_cast<size_t>(i), 'a') + "b").ids);
  Engine two(2);
  Ctx c = two.ctx();
  const std::vector<Score> together = score(c, *model_, texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    const Score alone = score(c_, *model_, texts[i]);
    EXPECT_EQ(together[i].logprobs, alone.logprobs);
    EXPECT_EQ(together[i].perplexity, alone.perplexity);
  }
}

TEST_F(Generation, ManyPromptsYieldWhatEachYieldsAlone) {
  std::vector<Ints> prompts;
  for (const char* text : {"To be", "or", "not to be, that is"})
    prompts.push_back(tokenizer_.encode(text).ids);
  for (int beams : {1, 3}) {
    options_.num_beams = beams;
    std::vector<size_t> done;
    const std::vector<Generated> together =
        generate(c_, *model_, prompts, options_, &tokenizer_,
                 [&](size_t i, const Generated&) { done.push_back(i); });
    EXPECT_EQ(done.size(), prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Generated alone = generate(c_, *model_, prompts[i], options_, &tokenizer_);
      EXPECT_EQ(together[i].ids, alone.ids);
      EXPECT_EQ(together[i].text, alone.text);
    }
  }
}

TEST_F(Generation, DefaultsComeFromGenerationConfigThenConfig) {
  const TempDir dir;
  const Json config = Json::parse(R"({"eos_token_id": 2})");
  EXPECT_EQ(generation_defaults(dir.path(), config).eos, Ints{2});
  EXPECT_FALSE(generation_defaults(dir.path(), config).decoder_start);
  const Json begins = Json::parse(R"({"decoder_start_token_id": 7})");
  EXPECT_EQ(generation_defaults(dir.path(), begins).decoder_start, 7);
  write_file(dir / "generation_config.json",
             R"({"eos_token_id": [5, 6], "do_sample": true, "temperature": 0.6, "top_p": 0.9})");
  const GenerateOptions o = generation_defaults(dir.path(), config);
  EXPECT_EQ(o.eos, (Ints{5, 6}));
  EXPECT_TRUE(o.sampling.sample);
  EXPECT_EQ(o.sampling.temperature, 0.6);
  EXPECT_EQ(o.sampling.top_k, 50);
  write_file(dir / "generation_config.json", R"({"eos_token_id": null, "temperature": 0.6})");
  EXPECT_TRUE(generation_defaults(dir.path(), config).eos.empty()) << "null never stops";
  EXPECT_FALSE(generation_defaults(dir.path(), config).sampling.sample);
}

}  // namespace
}  // namespace stemma
