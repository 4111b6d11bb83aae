#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <bit>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

using Ints = std::vector<int32_t>;
using Offsets = std::vector<std::pair<int32_t, int32_t>>;

Json wordpiece(const std::vector<std::string>& tokens) {
  Json vocab = Json::object();
  for (const auto& token : tokens) vocab.set(token, static_cast<int64_t>(vocab.size()));
  return Json::object({{"type", "WordPiece"},
                       {"unk_token", "[UNK]"},
                       {"continuing_subword_prefix", "##"},
                       {"max_input_chars_per_word", 100},
                       {"vocab", vocab}});
}

Json file_with(const char* key, Json value) {
  Json file = Json::object({{"version", "1.0"}, {"model", wordpiece({"[UNK]", "a", "##b"})}});
  file.set(key, std::move(value));
  return file;
}

Json typed(const char* type) { return Json::object({{"type", type}}); }

template <class F>
std::pair<Code, std::string> error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return {e.code(), e.message()};
  }
  return {Code::kUsage, "no error"};
}

TEST(Tokenizer, BytesReadsAnyText) {
  const Tokenizer t = Tokenizer::bytes();
  EXPECT_EQ(t.vocab_size(), 257);
  const Encoding e = t.encode("a\u00e9<|endoftext|>\n");
  EXPECT_EQ(e.ids, (Ints{'a', 0xC3, 0xA9, 256, '\n'}));
  EXPECT_EQ(e.offsets, (Offsets{{0, 1}, {1, 2}, {1, 2}, {2, 15}, {15, 16}}));
  EXPECT_EQ(t.decode(e.ids), "a\u00e9\n");
  EXPECT_EQ(t.decode(e.ids, false), "a\u00e9<|endoftext|>\n");
  EXPECT_EQ(t.special().eos, 256);
  EXPECT_EQ(t.id("<|endoftext|>"), 256);
  EXPECT_EQ(t.id("nothing"), std::nullopt);
  EXPECT_TRUE(t.is_special(256));
  EXPECT_FALSE(t.is_special('a'));
  EXPECT_EQ(t.token(-1), "");
  EXPECT_EQ(t.token(1000), "");
}

TEST(Tokenizer, BadBytesAreReplacementCharacters) {
  const Tokenizer t = Tokenizer::bytes();
  // One for each byte, and offsets count them so.
  EXPECT_EQ(t.decode(t.encode("a\xE4\xB8z\xFF").ids), "a\uFFFD\uFFFDz\uFFFD");
  EXPECT_EQ(t.encode("\xE4\xB8z").offsets.back(), std::pair(2, 3));
}

TEST(Tokenizer, DecodesBrokenBytesAsTheReference) {
  const Tokenizer t = Tokenizer::bytes();
  // One for each longest part of a character.
  EXPECT_EQ(t.decode(Ints{0xE4, 0xB8, 'z'}), "\uFFFDz");
  EXPECT_EQ(t.decode(Ints{0xF0, 0x9F, 0x98}), "\uFFFD");
  EXPECT_EQ(t.decode(Ints{0xED, 0xA0, 0x80}), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(t.decode(Ints{0xC0, 0x80}), "\uFFFD\uFFFD");
}

TEST(Tokenizer, StreamHoldsBackHalfCharacters) {
  const Tokenizer t = Tokenizer::bytes();
  StreamDecoder stream(t);
  EXPECT_EQ(stream.push('a'), "a");
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push(0xB8), "");
  EXPECT_EQ(stream.push(0xAD), "\u4e2d");
  EXPECT_EQ(stream.push(0xC3), "");
  EXPECT_EQ(stream.push('b'), "\uFFFDb");
  EXPECT_EQ(stream.push(256), "");
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Tokenizer, EmptyTextsHaveNoTokens) {
  const Tokenizer t = Tokenizer::bytes();
  EXPECT_TRUE(t.encode("").ids.empty());
  EXPECT_TRUE(t.encode_pair("", "").ids.empty());
  EXPECT_EQ(t.decode({}), "");
}

TEST(Tokenizer, LoadsVocabTxtAsBertTokenizer) {
  TempDir d;
  write_file(d / "vocab.txt",
             "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlamp\nLamp\n##s\n\u00e9\ne\n\u4e2d\n");
  const Tokenizer t = Tokenizer::load(d.path());
  EXPECT_EQ(t.encode("LAMPS \u00e9 [MASK]").ids, (Ints{2, 5, 7, 9, 4, 3}));
  EXPECT_EQ(t.encode_pair("lamp", "lamp").type_ids, (Ints{0, 0, 0, 1, 1}));
  EXPECT_EQ(t.special().cls, 2);
  EXPECT_EQ(t.special().mask, 4);
  EXPECT_EQ(t.special().bos, std::nullopt);
  EXPECT_EQ(t.max_length(), std::nullopt);

  write_file(d / "tokenizer_config.json",
             R"({"do_lower_case": false, "strip_accents": false, "tokenize_chinese_chars": false,)"
             R"("tokenizer_class": "BertTokenizerFast", "model_max_length": 512})");
  const Tokenizer cased = Tokenizer::load(d.path());
  EXPECT_EQ(cased.encode("Lamps \u00e9 \u4e2d\u4e2d").ids, (Ints{2, 6, 7, 8, 1, 3}));
  EXPECT_EQ(cased.max_length(), 512);

  // Saved, both are a tokenizer.json with the same behaviour.
  cased.save(d / "saved");
  EXPECT_EQ(read_file(d / "saved/tokenizer_config.json"), read_file(d / "tokenizer_config.json"));
  EXPECT_EQ(Tokenizer::load(d / "saved").encode("Lamps \u00e9").ids, (Ints{2, 6, 7, 8, 3}));
  t.save(d / "saved2");
  EXPECT_EQ(Tokenizer::load(d / "saved2").special().sep, 3);
}

TEST(Tokenizer, LoadsVocabAndMergesAsTheNamedClass) {
  TempDir d;
  write_file(d / "vocab.json", R"({"<s>": 0, "</s>": 1, "a": 2, "b": 3, "ab": 4, "\u0120": 5,)"
                               R"( "<mask>": 6, "<|endoftext|>": 7})");
  write_file(d / "merges.txt", "#version: 0.2\na b\n");
  EXPECT_EQ(Tokenizer::load(d.path()).encode("ab a<|endoftext|>").ids, (Ints{4, 5, 2, 7}));
  write_file(d / "tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer"})");
  const Tokenizer roberta = Tokenizer::load(d.path());
  EXPECT_EQ(roberta.encode_pair("ab", "a").ids, (Ints{0, 4, 1, 1, 2, 1}));
  EXPECT_EQ(roberta.special().mask, 6);
  write_file(d / "tokenizer_config.json", R"({"tokenizer_class": "CTRLTokenizer"})");
  EXPECT_EQ(error_of([&] { Tokenizer::load(d.path()); }).first, Code::kUnsupported);
}

TEST(Tokenizer, SavesFilesByteForByte) {
  TempDir d;
  const std::string file =
      "{\"version\":\"1.0\",  \"model\":" + wordpiece({"[UNK]", "a"}).dump() + "}\n\n";
  write_file(d / "tokenizer.json", file);
  write_file(d / "special_tokens_map.json", "{\"unk_token\":   \"[UNK]\"}");
  Tokenizer::load(d.path()).save(d / "copy");
  EXPECT_EQ(read_file(d / "copy/tokenizer.json"), file);
  EXPECT_EQ(read_file(d / "copy/special_tokens_map.json"), "{\"unk_token\":   \"[UNK]\"}");
  EXPECT_EQ(Tokenizer::load(d / "copy").special().unk, 0);
}

// One field of a protobuf message that holds bytes.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string piece(const std::string& text, float score, int type) {
  const auto bits = std::bit_cast<uint32_t>(score);
  std::string number;
  for (int i = 0; i < 4; ++i) number += static_cast<char>(bits >> 8 * i);
  return field(1, field(1, text) + "\x15" + number + "\x18" + static_cast<char>(type));
}

TEST(Tokenizer, ReadsSentencePieceOfAlbert) {
  const std::string model = piece("<pad>", 0, 3) + piece("<unk>", 0, 2) + piece("[CLS]", 0, 3) +
                            piece("[SEP]", 0, 3) + piece("[MASK]", 0, 4) + piece("(", 0, 4) +
                            piece("\u2581a", -1.1f, 1) + piece("b", -2.3f, 1) +
                            piece("\u2581", -3.7f, 1);
  TempDir directory;
  write_file(directory / "spiece.model", model);
  write_file(directory / "tokenizer_config.json", R"({"tokenizer_class": "AlbertTokenizer"})");
  const Tokenizer tokenizer = Tokenizer::load(directory.path());
  EXPECT_EQ(tokenizer.encode("\u00c1b  (zz").ids, (std::vector<int32_t>{2, 6, 7, 5, 8, 1, 3}));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{2, 6, 7, 6, 3}), "ab a");
  EXPECT_EQ(tokenizer.special().cls, 2);
  EXPECT_EQ(tokenizer.special().mask, 4);

  for (size_t size = 0; size < model.find("[SEP]"); ++size) {
    write_file(directory / "spiece.model", model.substr(0, size));
    const auto [code, message] = error_of([&] { Tokenizer::load(directory.path()); });
    EXPECT_EQ(code, Code::kFailed) << size << " " << message;
  }
}

TEST(Tokenizer, RefusesDamagedOlderFiles) {
  const auto error = [](const char* name, std::string_view bytes, const char* tokenizer_class) {
    TempDir directory;
    write_file(directory / name, bytes);
    write_file(directory / "tokenizer_config.json",
               Json::object({{"tokenizer_class", tokenizer_class}}).dump());
    return error_of([&] { Tokenizer::load(directory.path()); });
  };
  for (const auto& [name, bytes] :
       std::vector<std::pair<const char*, const char*>>{{"a.tiktoken", "YQ== 0\nYQ== 1\n"},
                                                        {"a.tiktoken", "YQ=! 0\n"},
                                                        {"a.tiktoken", "YQ==\n"},
                                                        {"a.tiktoken", ""},
                                                        {"a.tiktoken", "YQ== -1\n"},
                                                        {"tokenizer.model", "YQ== x\n"},
                                                        {"rwkv_vocab_a.txt", "1 'a' 2\n"},
                                                        {"rwkv_vocab_a.txt", "1 'a\\' 1\n"},
                                                        {"rwkv_vocab_a.txt", "1 'a\\x4' 2\n"},
                                                        {"rwkv_vocab_a.txt", "1 a 1\n"},
                                                        {"rwkv_vocab_a.txt", "1\n"},
                                                        {"rwkv_vocab_a.txt", "99999999 'a' 1\n"}}) {
    const auto [code, message] = error(name, bytes, "PreTrainedTokenizerFast");
    EXPECT_EQ(code, Code::kFailed) << bytes << message;
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }
  const std::string model = piece("<unk>", 0, 2) + piece("a", -1, 1);
  EXPECT_EQ(error("spm.model", model, "LlamaTokenizer").first, Code::kUnsupported);
  EXPECT_EQ(error("spm.model", model, "OtherTokenizer").first, Code::kUnsupported);
  EXPECT_EQ(error("spm.model", model, "XLMRobertaTokenizer").first, Code::kFailed);
}

TEST(Tokenizer, SidesAndLengthsOfTheFiles) {
  Json file = Json::parse(read_file(std::filesystem::path(STEMMA_SOURCE_DIR) /
                                    "tests/cases/text/wordpiece/model/tokenizer.json"));
  const Tokenizer plain = Tokenizer::from_json(file);
  EXPECT_EQ(plain.truncation().max_length, 8);
  EXPECT_EQ(plain.truncation().side, Side::right);
  EXPECT_EQ(plain.padding().length, 8);
  file.set("truncation", Json::parse(R"({"direction": "Left", "max_length": 12, "stride": 3,)"
                                     R"( "strategy": "OnlySecond"})"));
  file.set("padding", Json::parse(R"({"strategy": "BatchLongest", "direction": "Left",)"
                                  R"( "pad_to_multiple_of": 8, "pad_id": 1, "pad_type_id": 2,)"
                                  R"( "pad_token": "x"})"));
  const Tokenizer t = Tokenizer::from_json(file);
  EXPECT_EQ(t.truncation().stride, 3);
  EXPECT_EQ(t.truncation().side, Side::left);
  EXPECT_EQ(t.truncation().strategy, Truncation::Strategy::only_second);
  EXPECT_EQ(t.padding().multiple_of, 8);
  EXPECT_EQ(t.padding().length, 0);
  EXPECT_EQ(t.padding().side, Side::left);
  EXPECT_EQ(t.padding().id, 1);
  EXPECT_EQ(t.padding().type_id, 2);
  const Tokenizer configured =
      Tokenizer::from_json(file, "x",
                           Json::parse(R"({"padding_side": "right", "truncation_side": "right",)"
                                       R"( "pad_token_type_id": 3, "pad_token": "[PAD]"})"));
  EXPECT_EQ(configured.truncation().side, Side::right);
  EXPECT_EQ(configured.padding().side, Side::right);
  EXPECT_EQ(configured.padding().type_id, 3);
  EXPECT_EQ(configured.padding().id, 0);
  file.set("truncation", Json::parse(R"({"direction": "Up", "max_length": 12})"));
  EXPECT_THROW(Tokenizer::from_json(file), Error);
}

TEST(Tokenizer, RefusesWhatIsNotBuilt) {
  for (const auto& file :
       {file_with("normalizer", typed("Other")), file_with("pre_tokenizer", typed("Other")),
        file_with("post_processor", typed("Other")), file_with("decoder", typed("Other")),
        file_with("model", typed("Other")), file_with("version", "2.0")}) {
    const auto [code, message] = error_of([&] { Tokenizer::from_json(file, "place"); });
    EXPECT_EQ(code, Code::kUnsupported) << message;
    EXPECT_EQ(message.rfind("[place] ", 0), 0u) << message;
  }
}

TEST(Tokenizer, RefusesMalformedFiles) {
  const Json merges = Json::object(
      {{"type", "BPE"}, {"vocab", Json::object({{"a", 0}})}, {"merges", Json::array({"a a"})}});
  const Json far = Json::object({{"type", "BPE"},
                                 {"vocab", Json::object({{"a", int64_t{1} << 40}})},
                                 {"merges", Json::array()}});
  for (const auto& file :
       {Json(3), Json::object(), file_with("model", 3), file_with("model", merges),
        file_with("model", far), file_with("normalizer", "NFC"),
        file_with("added_tokens", Json::array({"x"})),
        file_with(
            "post_processor",
            Json::object(
                {{"type", "TemplateProcessing"},
                 {"single", Json::array({Json::object(
                                {{"SpecialToken", Json::object({{"id", "x"}, {"type_id", 0}})}})})},
                 {"pair", Json::array()},
                 {"special_tokens", Json::object()}}))}) {
    const auto [code, message] = error_of([&] { Tokenizer::from_json(file); });
    EXPECT_EQ(code, Code::kFailed) << message << " for " << file.dump();
  }
}

TEST(Tokenizer, NamesWhatADirectoryLacks) {
  TempDir d;
  EXPECT_EQ(error_of([&] { Tokenizer::load(d.path()); }).first, Code::kNotFound);
  EXPECT_EQ(error_of([&] { Tokenizer::load(d / "no"); }).first, Code::kNotFound);
  write_file(d / "file", "x");
  const Tokenizer t = Tokenizer::bytes();
  EXPECT_EQ(error_of([&] { t.save(d / "file" / "inside"); }).first, Code::kFailed);
}

TEST(Tokenizer, LengthsMustHoldTheSpecialTokens) {
  TempDir d;
  write_file(d / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
  const Tokenizer t = Tokenizer::load(d.path());
  EXPECT_EQ(t.encode("a a a", {.truncation = {.max_length = 2}}).ids, (Ints{2, 3}));
  EXPECT_EQ(error_of([&] { t.encode("a", {.truncation = {.max_length = 1}}); }).first,
            Code::kFailed);
  EXPECT_EQ(error_of([&] { t.encode("a", {.truncation = {.max_length = -1}}); }).first,
            Code::kFailed);
}

// A megabyte of whatever is worst must stay near linear.
// Quadratic work on any of these would take hours and meet the test runner's time limit.
TEST(Tokenizer, HostileTextsStayFast) {
  TempDir d;
  std::string merges, token = "a";
  Json file = Json::object();
  const Tokenizer bytes = Tokenizer::bytes();
  for (int id = 0; id < 256; ++id) file.set(bytes.token(id), id);
  for (int i = 0; i < 10; ++i) {  // aa, aaaa, ...
    merges += token + " " + token + "\n";
    token += token;
    file.set(token, 256 + i);
  }
  write_file(d / "vocab.json", file.dump());
  write_file(d / "merges.txt", merges);
  const Tokenizer t = Tokenizer::load(d.path());
  EXPECT_EQ(t.encode(std::string(1 << 20, 'a'), {.special_tokens = false}).ids.size(), 1024u);
  EXPECT_EQ(t.encode(std::string(1 << 20, ' ')).ids.size(), size_t{1} << 20);
  std::string marks;
  for (int i = 0; i < 1 << 18; ++i) marks += i % 2 ? "\u0301" : "\u0323";
  write_file(d / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
  std::filesystem::remove(d / "vocab.json");
  EXPECT_EQ(Tokenizer::load(d.path()).encode("x" + marks).ids, (Ints{2, 1, 3}));
}

}  // namespace
}  // namespace stemma
