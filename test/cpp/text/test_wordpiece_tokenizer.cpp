// WordPieceTokenizer: words and pieces of a small vocabulary, batches, and what it refuses. 2,000 texts against transformers:
// test/python/test_tokenizers.py.
#include <torch_hpu/wordpiece_tokenizer.h>

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>

#include "test/cpp/train/train_test.h"

namespace {

using Ids = std::vector<int64_t>;
using Words = std::vector<std::string>;
using torch_hpu::WordPieceTokenizer;
using torch_hpu::test::throws;

struct WordPiece : torch_hpu::test::InFolder {
  WordPieceTokenizer load(const std::string& config = "{}") const {
    write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\r\naff\n,\n.\nUn\ncafe\n\xE6\xBC\xA2\n");
    write("tokenizer_config.json", config);
    return WordPieceTokenizer::from_pretrained(folder_.string());
  }
};

TEST_F(WordPiece, TakesTheLongestPieces) {
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer.tokenize("Unaffable, aff."), (Words{"un", "##aff", "##able", ",", "aff", "."}));
  EXPECT_EQ(tokenizer.tokenize("unaffx un"), (Words{"[UNK]", "un"}));
  EXPECT_EQ(tokenizer.tokenize("caf\xC3\xA9"), (Words{"cafe"}));
  EXPECT_EQ(tokenizer.tokenize("un\xE6\xBC\xA2un\tun\x01\x7F"), (Words{"un", "\xE6\xBC\xA2", "un", "un"}));
  EXPECT_EQ(tokenizer.tokenize("un[MASK]un [mask]"), (Words{"un", "[MASK]", "un", "[UNK]", "[UNK]", "[UNK]"}));
  EXPECT_EQ(tokenizer.encode("un\xFF"), (Ids{2, 5, 3}));
  EXPECT_EQ(tokenizer.vocab_size(), 14);
  EXPECT_EQ(tokenizer.model_max_length(), torch_hpu::kNoMaxLength);
}

TEST_F(WordPiece, LongWordsAreUnknown) {
  const auto tokenizer = load();
  std::string word = "un";
  for (int i = 0; i < 49; ++i) {
    word += i % 2 == 0 ? "aff" : "able";
  }
  EXPECT_GT(word.size(), 100u);
  EXPECT_EQ(tokenizer.tokenize(word), (Words{"[UNK]"}));
  EXPECT_EQ(tokenizer.tokenize(word.substr(0, 2 + 14 * 7)).size(), 1u + 28);  // 100 characters
}

TEST_F(WordPiece, FollowsItsConfig) {
  EXPECT_EQ(load(R"({"do_lower_case": false})").tokenize("Un un caf\xC3\xA9"), (Words{"Un", "un", "[UNK]"}));
  EXPECT_EQ(load(R"({"do_lower_case": false, "strip_accents": true})").tokenize("caf\xC3\xA9"), (Words{"cafe"}));
  EXPECT_EQ(load(R"({"tokenize_chinese_chars": false})").tokenize("un\xE6\xBC\xA2"), (Words{"[UNK]"}));
}

TEST_F(WordPiece, Decodes) {
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer.decode({2, 5, 6, 7, 9, 8, 10, 3}), "unaffable, aff.");
  EXPECT_EQ(tokenizer.decode({2, 5, 3, 99}, /*skip_special_tokens=*/false), "[CLS] un [SEP]");
}

TEST_F(WordPiece, PadsAndTruncates) {
  const auto tokenizer = load(R"({"model_max_length": 5})");
  const auto batch = tokenizer({"un un un un un", "un"});
  EXPECT_TRUE(at::equal(batch.input_ids, at::tensor(Ids{2, 5, 5, 5, 3, 2, 5, 3, 0, 0}).view({2, 5})));
  EXPECT_TRUE(at::equal(batch.attention_mask, at::tensor(Ids{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}).view({2, 5})));
  EXPECT_EQ(tokenizer({"un"}, {.pad_to_max_length = true}).input_ids.size(1), 5);
  EXPECT_TRUE(throws([&] { load()({"un"}, {.pad_to_max_length = true}); }, "[WordPieceTokenizer] pad_to_max_length needs a max_length"));
}

TEST_F(WordPiece, NamesWhatIsBroken) {
  const auto load_folder = [&] { WordPieceTokenizer::from_pretrained(folder_.string()); };
  EXPECT_TRUE(throws([&] { WordPieceTokenizer::from_pretrained(path("no")); }, "[WordPieceTokenizer] there is no folder " + path("no")));
  EXPECT_TRUE(throws(load_folder, "[WordPieceTokenizer] cannot open " + path("vocab.txt")));
  write("vocab.txt", "");
  EXPECT_TRUE(throws(load_folder, "[WordPieceTokenizer] " + path("vocab.txt") + " is empty"));
  write("vocab.txt", "a\n");  // without [UNK] and the rest, which get the next ids
  EXPECT_EQ(WordPieceTokenizer::from_pretrained(folder_.string()).encode("a").size(), 3u);
  EXPECT_TRUE(
      throws([&] { WordPieceTokenizer::from_pretrained(folder_.string()).encode("b"); }, "neither 'b' nor the token for unknown ones"));
  EXPECT_TRUE(
      throws([&] { load(R"({"do_lower_case": 1})"); }, path("tokenizer_config.json") + ": do_lower_case: got 1, expected true or false"));
  load();
  write("tokenizer.json", R"({"model": {"type": "WordPiece"}})");
  EXPECT_TRUE(throws(load_folder, "[WordPieceTokenizer] " + path("tokenizer.json") + " has no model with a vocab"));
  write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}, "added_tokens": [{"content": "a"}]})");
  EXPECT_TRUE(throws(load_folder, path("tokenizer.json") + ": added_tokens: expected objects with an id"));
}

}  // namespace
