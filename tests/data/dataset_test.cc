#include "data/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_dir.h"
#include "text/trainer.h"

namespace stemma {
namespace {

template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return Error(Code::kUsage, "no error");
}

std::vector<int32_t> bytes_of(std::string_view text) {
  std::vector<int32_t> ids;
  for (const unsigned char c : text) ids.push_back(c);
  return ids;
}

// One sequence of a batch: ids, labels, positions.
struct Sequence {
  std::vector<int32_t> ids, labels, pos;
};

Sequence sequence_of(const TokenBatch& batch, size_t s) {
  const auto cut = [&](const std::vector<int32_t>& v) {
    return std::vector<int32_t>(v.begin() + batch.start[s], v.begin() + batch.start[s + 1]);
  };
  return {cut(batch.ids), cut(batch.labels), cut(batch.pos)};
}

class DatasetTest : public testing::Test {
 protected:
  Dataset open(DataSpec spec, std::vector<std::pair<std::string, std::string>> files) {
    for (const auto& [name, text] : files) {
      write_file(dir_ / name, text);
      spec.paths.push_back((dir_ / name).string());
    }
    return Dataset::open(spec, tokenizer_ ? *tokenizer_ : byte_tokenizer_, team_);
  }

  // A WordPiece vocabulary: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then a, b, ..., z.
  void use_wordpiece() {
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (char c = 'a'; c <= 'z'; ++c) vocabulary += cat(c, "\n");
    write_file(dir_ / "vocab.txt", vocabulary);
    write_file(dir_ / "tokenizer_config.json",
               R"({"tokenizer_class": "BertTokenizer", "do_lower_case": true,)"
               R"( "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",)"
               R"( "cls_token": "[CLS]", "mask_token": "[MASK]"})");
    tokenizer_ = Tokenizer::load(dir_.path());
  }

  // Bytes, and behind <|endoftext|> the sentinels from 257 on.
  void use_sentinels(int count) {
    TokenizerTraining training;
    training.vocab_size = 257 + count;
    training.special_tokens = {"<|endoftext|>"};
    for (int i = 0; i < count; ++i) training.special_tokens.push_back(cat("<extra_id_", i, ">"));
    tokenizer_ = train_tokenizer(std::span<const std::string_view>(), training, team_);
  }

  TempDir dir_;
  Team team_{2};
  Tokenizer byte_tokenizer_ = Tokenizer::bytes();
  std::optional<Tokenizer> tokenizer_;
  const int32_t eos_ = *byte_tokenizer_.special().eos;
};

TEST_F(DatasetTest, CausalJoinChopsOneText) {
  const Dataset data = open({.length = 4}, {{"a.txt", "abcde"}, {"b.txt", "fg"}});
  EXPECT_EQ(data.documents(), 2);
  EXPECT_EQ(data.tokens(), 9);
  ASSERT_EQ(data.sequences(), 2);
  std::map<int64_t, Sequence> by_id;
  const TokenBatch batch = data.batch(0, 2);
  EXPECT_EQ(batch.start, (std::vector<int32_t>{0, 4, 8}));
  EXPECT_EQ(batch.counted, 8);
  for (size_t s = 0; s < 2; ++s) by_id[batch.sequences[s]] = sequence_of(batch, s);
  EXPECT_EQ(by_id[0].ids, bytes_of("abcd"));
  EXPECT_EQ(by_id[0].labels, bytes_of("bcde"));
  EXPECT_EQ(by_id[1].ids, (std::vector<int32_t>{'e', eos_, 'f', 'g'}));
  EXPECT_EQ(by_id[1].labels, (std::vector<int32_t>{eos_, 'f', 'g', eos_}));
  EXPECT_EQ(by_id[1].pos, (std::vector<int32_t>{0, 1, 2, 3}));
}

TEST_F(DatasetTest, CausalDocumentsStayApart) {
  const Dataset data = open({.packing = Packing::documents, .length = 4},
                            {{"a.jsonl", "{\"text\": \"abcde\"}\n{\"text\": \"f\"}\n"}});
  ASSERT_EQ(data.sequences(), 3);
  std::map<int64_t, Sequence> by_id;
  const TokenBatch batch = data.batch(0, 3);
  for (size_t s = 0; s < 3; ++s) by_id[batch.sequences[s]] = sequence_of(batch, s);
  EXPECT_EQ(by_id[0].labels, bytes_of("bcde"));
  EXPECT_EQ(by_id[1].ids, bytes_of("e"));
  EXPECT_EQ(by_id[1].labels, std::vector<int32_t>{eos_});
  EXPECT_EQ(by_id[2].ids, bytes_of("f"));
  EXPECT_EQ(by_id[2].labels, std::vector<int32_t>{eos_});
  EXPECT_EQ(data.describe(1), cat((dir_ / "a.jsonl").string(), " document 1, token 4"));
  EXPECT_EQ(data.describe(2), cat((dir_ / "a.jsonl").string(), " document 2, token 0"));
}

TEST_F(DatasetTest, EveryEpochSeesEverySequenceOnceInItsOwnOrder) {
  const Dataset data = open({.length = 8, .seed = 3}, {{"a.txt", std::string(400, 'x')}});
  ASSERT_EQ(data.sequences(), 50);
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    orders.push_back(data.batch(epoch * 50, 50).sequences);
    EXPECT_EQ(std::set<int64_t>(orders.back().begin(), orders.back().end()).size(), 50u);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
  EXPECT_FALSE(std::ranges::is_sorted(orders[0]));
}

// Resume: what comes at a position does not depend on how it was reached, nor on batch shape.
TEST_F(DatasetTest, BatchesAreAPureFunctionOfThePosition) {
  use_wordpiece();
  std::string text;
  for (int i = 0; i < 300; ++i) text += cat(static_cast<char>('a' + i * 7 % 26), " ");
  const DataSpec spec{.objective = DataObjective::masked, .length = 12, .seed = 9};
  const Dataset data = open(spec, {{"a.txt", text}});
  ASSERT_EQ(data.sequences(), 30);
  const TokenBatch whole = data.batch(20, 40);  // over an end of an epoch
  for (int64_t i = 0; i < 40; ++i) {
    const TokenBatch one = data.batch(20 + i, 1);
    const Sequence expected = sequence_of(whole, static_cast<size_t>(i));
    EXPECT_EQ(one.ids, expected.ids);
    EXPECT_EQ(one.labels, expected.labels);
    EXPECT_EQ(one.pos, expected.pos);
    EXPECT_EQ(one.sequences[0], whole.sequences[static_cast<size_t>(i)]);
  }
  Team serial(1);
  DataSpec again = spec;
  again.paths = {(dir_ / "a.txt").string()};
  const Dataset other = Dataset::open(again, *tokenizer_, serial);
  EXPECT_EQ(other.batch(20, 40).ids, whole.ids);
  EXPECT_EQ(other.fingerprint(), data.fingerprint());
  again.seed = 10;
  const Dataset reseeded = Dataset::open(again, *tokenizer_, serial);
  EXPECT_NE(reseeded.batch(20, 40).sequences, whole.sequences);
  EXPECT_NE(reseeded.fingerprint(), data.fingerprint());
}

TEST_F(DatasetTest, MaskedSequencesAreWrappedAndMaskedAnewEachEpoch) {
  use_wordpiece();
  const Dataset data = open({.objective = DataObjective::masked, .length = 10},
                            {{"a.txt", "a b c d e f"}, {"b.txt", "g h i j"}});
  ASSERT_EQ(data.sequences(), 2);  // a b c d e f [SEP] g | h i j
  EXPECT_EQ(data.tokens(), 11);
  std::map<int64_t, std::set<std::vector<int32_t>>> masks;
  for (int64_t position = 0; position < 40; ++position) {
    const TokenBatch batch = data.batch(position, 1);
    std::vector<int32_t> ids = batch.ids;
    for (size_t i = 0; i < ids.size(); ++i)
      if (batch.labels[i] != kNoLabel) ids[i] = batch.labels[i];
    if (batch.sequences[0] == 0)
      EXPECT_EQ(ids, (std::vector<int32_t>{2, 5, 6, 7, 8, 9, 10, 3, 11, 3}));
    else
      EXPECT_EQ(ids, (std::vector<int32_t>{2, 12, 13, 14, 3}));
    EXPECT_EQ(batch.counted, batch.sequences[0] == 0 ? 2 : 1);
    EXPECT_EQ(batch.labels[0], kNoLabel);
    EXPECT_EQ(batch.labels.back(), kNoLabel);
    masks[batch.sequences[0]].insert(batch.labels);
  }
  EXPECT_GT(masks[0].size(), 5u);
  EXPECT_EQ(masks[1].size(), 3u);
}

TEST_F(DatasetTest, StaticMasksComeAgain) {
  use_wordpiece();
  const Dataset data =
      open({.objective = DataObjective::masked, .length = 10, .mask = {.copies = 2}},
           {{"a.txt", "a b c d e f g h"}});
  ASSERT_EQ(data.sequences(), 1);
  for (int64_t epoch = 0; epoch < 6; ++epoch)
    EXPECT_EQ(data.batch(epoch, 1).labels, data.batch(epoch % 2, 1).labels);
}

// Two sentences: whatever their order, the tokens are the text's, and the label says the truth.
TEST_F(DatasetTest, SentencesAreCutAndLabelled) {
  use_wordpiece();
  const std::vector<std::pair<std::string, std::string>> files = {{"a.txt", "a b c d e f"},
                                                                  {"b.txt", "g h i j k l"}};
  for (const Sentences sentences : {Sentences::order, Sentences::next}) {
    const Dataset data =
        open({.objective = DataObjective::masked, .length = 12, .sentences = sentences}, files);
    ASSERT_EQ(data.sequences(), 2);
    std::set<int32_t> seen;
    for (int64_t position = 0; position < 40; ++position) {
      const TokenBatch batch = data.batch(position, 1);
      std::vector<int32_t> ids = batch.ids, a, b;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (batch.labels[i] != kNoLabel) ids[i] = batch.labels[i];
        if (ids[i] > 4) (batch.types[i] == 0 ? a : b).push_back(ids[i]);
      }
      ASSERT_EQ(batch.types.size(), ids.size());
      EXPECT_EQ(std::ranges::count(ids, 3), 2) << "a SEP behind each";
      ASSERT_FALSE(a.empty() || b.empty());
      const bool follows = b.front() == a.back() + 1;
      EXPECT_EQ(batch.sentence_labels, std::vector<int32_t>{follows ? 0 : 1});
      if (!follows && sentences == Sentences::order) {
        EXPECT_EQ(a.front(), b.back() + 1);
      }
      seen.insert(batch.sentence_labels[0]);
    }
    EXPECT_EQ(seen.size(), 2u);
  }
}

TEST_F(DatasetTest, MaskedDocumentsStayApart) {
  use_wordpiece();
  const Dataset data =
      open({.objective = DataObjective::masked, .packing = Packing::documents, .length = 5},
           {{"a.txt", "a b c d"}, {"b.txt", "e"}});
  EXPECT_EQ(data.sequences(), 3);  // a b c | d | e
  EXPECT_EQ(data.tokens(), 5);
}

TEST_F(DatasetTest, ValidationIsTheEndOfTheData) {
  use_wordpiece();
  std::string text;
  for (int i = 0; i < 100; ++i) text += "a b c d e f g h ";
  const Dataset data = open(
      {.objective = DataObjective::masked, .length = 10, .validation = 0.1, .mask = {.rate = 0.5}},
      {{"a.txt", text}});
  ASSERT_EQ(data.sequences(), 90);
  ASSERT_EQ(data.validation_sequences(), 10);
  for (const int64_t sequence : data.batch(0, 90).sequences) EXPECT_LT(sequence, 90);
  const TokenBatch all = data.validation_batch(0, 10);
  std::vector<int64_t> expected(10);
  std::iota(expected.begin(), expected.end(), 90);
  EXPECT_EQ(all.sequences, expected);
  EXPECT_EQ(all.counted, 20);  // 0.15 of ten tokens, whatever the training rate
  EXPECT_EQ(data.batch(0, 10).counted, 50);
  const TokenBatch part = data.validation_batch(4, 1);
  EXPECT_EQ(part.ids, sequence_of(all, 4).ids);
  EXPECT_EQ(part.labels, sequence_of(all, 4).labels);
  EXPECT_THROW(data.validation_batch(5, 6), Error);
}

std::vector<int32_t> source_of(const TokenBatch& batch, size_t s) {
  return {batch.source_ids.begin() + batch.source_start[s],
          batch.source_ids.begin() + batch.source_start[s + 1]};
}

TEST_F(DatasetTest, CorruptedSpansAreReadAndWritten) {
  use_sentinels(10);
  const int32_t eos = *tokenizer_->special().eos, first = *tokenizer_->id("<extra_id_0>");
  const Dataset data = open({.objective = DataObjective::span_corruption, .length = 32, .start = 5},
                            {{"a.txt", std::string(60, 'a')}, {"b.txt", "bcd"}});
  ASSERT_EQ(data.tokens(), 63) << "joined documents have no mark between them";
  ASSERT_EQ(data.sequences(), 2);  // 34 tokens make a source of 32
  std::set<std::vector<int32_t>> sources;
  for (int64_t position = 0; position < 20; ++position) {
    const TokenBatch batch = data.batch(position, 1);
    const std::vector<int32_t> source = source_of(batch, 0);
    sources.insert(source);
    EXPECT_LE(source.size(), 31u) << "this tokenizer ends no text with EOS";
    EXPECT_EQ(batch.labels.front(), first);
    EXPECT_EQ(batch.labels.back(), eos);
    // The decoder reads what it has to write, one place later.
    EXPECT_EQ(batch.ids.front(), 5);
    EXPECT_TRUE(std::equal(batch.ids.begin() + 1, batch.ids.end(), batch.labels.begin()));
    EXPECT_EQ(batch.counted, static_cast<int64_t>(batch.labels.size()));
    // What comes at a position does not depend on the batch.
    const TokenBatch wide = data.batch(position, 3);
    EXPECT_EQ(source_of(wide, 0), source);
    EXPECT_EQ(sequence_of(wide, 0).labels, batch.labels);
  }
  // The second sequence has one span, which is its end.
  EXPECT_GT(sources.size(), 7u) << "each epoch corrupts anew";
}

TEST_F(DatasetTest, PairsAreCutToTheirLengths) {
  const Dataset data =
      open({.objective = DataObjective::seq2seq, .length = 4, .target_length = 3, .start = 9},
           {{"a.jsonl",
             "{\"source\": \"abcdef\", \"target\": \"ghi\"}\n\n"
             "{\"source\": \"j\", \"target\": \"k\"}\n"}});
  ASSERT_EQ(data.sequences(), 2);
  const TokenBatch batch = data.batch(0, 2);
  const size_t long_one = batch.sequences[0] == 0 ? 0 : 1;
  EXPECT_EQ(source_of(batch, long_one), (std::vector<int32_t>{'a', 'b', 'c'}));
  EXPECT_EQ(sequence_of(batch, long_one).ids, (std::vector<int32_t>{9, 'g', 'h'}));
  EXPECT_EQ(sequence_of(batch, long_one).labels, (std::vector<int32_t>{'g', 'h', eos_}));
  EXPECT_EQ(source_of(batch, 1 - long_one), (std::vector<int32_t>{'j'}));
  EXPECT_EQ(sequence_of(batch, 1 - long_one).labels, (std::vector<int32_t>{'k', eos_}));
  EXPECT_EQ(data.describe(1), cat((dir_ / "a.jsonl").string(), " document 3, token 0"));
}

TEST_F(DatasetTest, RefusesSourcesThatCannotBeMade) {
  const auto refusal = [&](DataSpec spec, std::string name, std::string text) {
    return error_of([&] { open(spec, {{name, text}}); }).message();
  };
  const auto has = [](const std::string& message, std::string_view part) {
    EXPECT_NE(message.find(part), message.npos) << message;
  };
  has(refusal({.objective = DataObjective::span_corruption, .length = 64}, "a.txt", "abc"),
      "sentinels");
  has(refusal({.objective = DataObjective::seq2seq}, "a.txt", "abc"), "read from .jsonl");
  has(refusal({.objective = DataObjective::seq2seq}, "b.jsonl", "{\"source\": \"a\"}"),
      "\"target\"");
  has(refusal({.objective = DataObjective::seq2seq}, "c.jsonl",
              "{\"source\": \"a\", \"target\": \" \"}"),
      "without a source or a target");
  use_sentinels(3);
  has(refusal({.objective = DataObjective::span_corruption, .length = 128}, "a.txt", "abc"),
      "has 7 spans");
  has(refusal({.objective = DataObjective::span_corruption, .length = 16, .spans = {1.5, 3}},
              "a.txt", "abc"),
      "density");
}

TEST_F(DatasetTest, APrefixIsSeenAndTheRestPredicted) {
  const Dataset data =
      open({.objective = DataObjective::prefix, .length = 8}, {{"a.txt", "abcdefghijklmnop"}});
  ASSERT_EQ(data.sequences(), 2);
  std::set<int32_t> seen;
  for (int64_t position = 0; position < 100; ++position) {
    const TokenBatch batch = data.batch(position, 1);
    ASSERT_EQ(batch.prefix.size(), 1u);
    const auto prefix = static_cast<size_t>(batch.prefix[0]);
    seen.insert(batch.prefix[0]);
    for (size_t t = 0; t + 1 < batch.ids.size(); ++t)
      EXPECT_EQ(batch.labels[t], t + 1 < prefix ? kNoLabel : batch.ids[t + 1]);
    EXPECT_EQ(batch.counted, static_cast<int64_t>(9 - prefix));
  }
  EXPECT_EQ(seen, (std::set<int32_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST_F(DatasetTest, LargeDocumentsAreTokenisedInPieces) {
  std::string text;
  while (text.size() < (5 << 20)) text += "a line of text\n";
  const Dataset data = open({.length = 1 << 20}, {{"a.txt", text}});
  EXPECT_EQ(data.documents(), 1);
  EXPECT_EQ(data.tokens(), static_cast<int64_t>(text.size()) + 1);
  const TokenBatch batch = data.batch(0, data.sequences());
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const Sequence sequence = sequence_of(batch, s);
    const std::string_view expected =
        std::string_view(text).substr(static_cast<size_t>(batch.sequences[s]) << 20, 1 << 20);
    EXPECT_TRUE(std::ranges::equal(sequence.ids, bytes_of(expected)));
  }
}

TEST_F(DatasetTest, RefusesWhatCannotWork) {
  const auto refusal = [&](DataSpec spec) {
    return error_of([&] { open(spec, {{"a.txt", "abc"}}); });
  };
  EXPECT_EQ(refusal({.length = 0}).code(), Code::kUsage);
  EXPECT_EQ(refusal({.validation = 1}).code(), Code::kUsage);
  EXPECT_EQ(refusal({.validation = -0.1}).code(), Code::kUsage);
  EXPECT_NE(refusal({.validation = 0.1}).message().find("nothing is left to train on"),
            std::string::npos);
  EXPECT_NE(refusal({.objective = DataObjective::masked}).message().find("mask token"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { open({}, {}); }).code(), Code::kUsage);
  EXPECT_NE(error_of([&] {
              open({}, {{"b.txt", " \n"}});
            })
                .message()
                .find("nothing is left"),
            std::string::npos);
  use_wordpiece();
  EXPECT_EQ(refusal({.objective = DataObjective::masked, .length = 2}).code(), Code::kUsage);
  EXPECT_NE(
      refusal({.objective = DataObjective::masked, .mask = {.rate = 2}}).message().find("rate"),
      std::string::npos);
  // WordPiece has no EOS: two documents cannot be joined for the causal objective.
  EXPECT_NE(error_of([&] {
              open({.length = 1}, {{"a.txt", "a b"}, {"b.txt", "c d"}});
            })
                .message()
                .find("no EOS"),
            std::string::npos);
  const Dataset data = open({.length = 1}, {{"a.txt", "a b c"}});
  EXPECT_THROW(data.batch(-1, 1), Error);
  EXPECT_THROW(data.batch(0, 0), Error);
  EXPECT_THROW(data.describe(2), Error);
}

}  // namespace
}  // namespace stemma
