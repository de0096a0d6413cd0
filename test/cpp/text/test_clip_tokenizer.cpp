// CLIPTokenizer: a vocabulary small enough to follow, batches, files there and back, and what it refuses. 10,000 texts against
// transformers: test/python/test_tokenizers.py.
#include <torch_hpu/clip_tokenizer.h>

#include <ATen/ops/equal.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include "test/cpp/train/train_test.h"

namespace {

using Ids = std::vector<int64_t>;
using Words = std::vector<std::string>;
using torch_hpu::CLIPTokenizer;
using torch_hpu::test::throws;

struct Clip : torch_hpu::test::InFolder {
  // Folder with files as they are released, of which single ones may be replaced.
  void write_files(
      const std::string& vocab = R"({"!": 0, "a": 1, "b": 2, "c</w>": 3, "ab": 4, "abc</w>": 5, "<|startoftext|>": 6, "<|endoftext|>": 7})",
      const std::string& merges = "#version: 0.2\na b\nab c</w>\n") const {
    write("vocab.json", vocab);
    write("merges.txt", merges);
  }
  CLIPTokenizer load() const {
    return CLIPTokenizer::from_pretrained(folder_.string());
  }
};

at::Tensor rows(const std::vector<Ids>& ids) {
  std::vector<at::Tensor> all;
  for (const Ids& row : ids) {
    all.push_back(at::tensor(row));
  }
  return at::stack(all);
}

CLIPTokenizer small(const std::string& pad = "<|endoftext|>") {
  CLIPTokenizer::Vocabulary vocabulary;
  for (const char* token : {"!", "a", "b", "c</w>", "ab", "abc</w>", "<|startoftext|>", "<|endoftext|>"}) {
    vocabulary.emplace(token, static_cast<int64_t>(vocabulary.size()));
  }
  return CLIPTokenizer(vocabulary, {{"a", "b"}, {"ab", "c</w>"}}, {.pad = pad});
}

TEST_F(Clip, MergesByRank) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer.encode("ABC  abc"), (Ids{6, 5, 5, 7}));
  EXPECT_EQ(tokenizer.tokenize("aabc"), (Words{"a", "abc</w>"}));
  EXPECT_EQ(tokenizer.tokenize("bab"), (Words{"b", "a", "<|endoftext|>"}));  // no "b</w>", so the last one is unknown, before any merge
  EXPECT_EQ(tokenizer.encode(""), (Ids{6, 7}));
  EXPECT_EQ(tokenizer.encode("abc<|endoftext|>abc"), (Ids{6, 5, 7, 5, 7}));
  EXPECT_EQ(tokenizer.vocab_size(), 8);
  EXPECT_EQ(tokenizer.model_max_length(), 77);
}

TEST_F(Clip, Decodes) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer.decode({6, 1, 5, 5, 7}), "aabc abc");
  EXPECT_EQ(tokenizer.decode({6, 5, 7}, /*skip_special_tokens=*/false), "<|startoftext|>abc <|endoftext|>");
  EXPECT_EQ(tokenizer.decode({5, 99, -1}), "abc");
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST_F(Clip, PadsAndTruncates) {
  const auto tokenizer = small("!");
  EXPECT_EQ(tokenizer.pad_token_id(), 0);
  auto batch = tokenizer({"abc abc abc", "abc"});
  EXPECT_TRUE(at::equal(batch.input_ids, rows({{6, 5, 5, 5, 7}, {6, 5, 7, 0, 0}})));
  EXPECT_TRUE(at::equal(batch.attention_mask, rows({{1, 1, 1, 1, 1}, {1, 1, 1, 0, 0}})));
  EXPECT_TRUE(at::equal(batch.token_type_ids, rows({{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}})));
  batch = tokenizer({"abc abc abc", ""}, {.max_length = 4, .pad_to_max_length = true});
  EXPECT_TRUE(at::equal(batch.input_ids, rows({{6, 5, 5, 7}, {6, 7, 0, 0}})));
  EXPECT_EQ(tokenizer({"abc"}, {.pad_to_max_length = true}).input_ids.sizes(), (std::vector<int64_t>{1, 77}));
  EXPECT_EQ(tokenizer({"abc abc"}, {.max_length = 2}).input_ids.sizes(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(tokenizer({std::string(300, '!')}, {.truncation = false}).input_ids.size(1), 302);
  EXPECT_EQ(tokenizer({}).input_ids.sizes(), (std::vector<int64_t>{0, 0}));
  EXPECT_TRUE(throws([&] { tokenizer({"abc"}, {.max_length = 1}); }, "[CLIPTokenizer] max_length: got 1, expected at least 2"));
  EXPECT_TRUE(throws([&] { tokenizer({"abc abc"}, {.max_length = 3, .truncation = false, .pad_to_max_length = true}); },
                     "got a text of 4 tokens, expected at most 3"));
}

TEST_F(Clip, LearnsAndComesBack) {
  const std::vector<std::string> texts = {"a photo of a cat", "a photo of a dog", "Photos, photos!"};
  const auto tokenizer = CLIPTokenizer::train(texts, 530);
  EXPECT_EQ(tokenizer.tokenize("photo"), (Words{"photo</w>"}));
  EXPECT_LE(tokenizer.vocab_size(), 530);
  tokenizer.save_pretrained(path("saved/tokenizer"));
  const auto again = CLIPTokenizer::from_pretrained(path("saved"), "tokenizer");
  for (const char* text : {"a photo of THE cat!", "\xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x98\x80", "<|startoftext|>\xFF"}) {
    EXPECT_EQ(again.encode(text), tokenizer.encode(text)) << text;
  }
  EXPECT_EQ(tokenizer.encode("\xFF\xE6\xBC"), tokenizer.encode("\xEF\xBF\xBD\xEF\xBF\xBD"));
  EXPECT_TRUE(throws([&] { CLIPTokenizer::train(texts, 513); }, "[CLIPTokenizer] vocab_size: got 513, expected at least 514"));
  write("a_file", "");
  EXPECT_TRUE(throws([&] { tokenizer.save_pretrained(path("a_file")); }, "[CLIPTokenizer] cannot make the folder " + path("a_file")));
}

TEST_F(Clip, SidesAndLengthComeFromTheConfig) {
  write_files();
  write("tokenizer_config.json", R"({"model_max_length": 4, "padding_side": "left", "truncation_side": "left", "pad_token": "!"})");
  const auto batch = load()({"abc a abc", ""}, {.pad_to_max_length = true});
  EXPECT_TRUE(at::equal(batch.input_ids, rows({{6, 7, 5, 7}, {0, 0, 6, 7}})));
  EXPECT_TRUE(at::equal(batch.attention_mask, rows({{1, 1, 1, 1}, {0, 0, 1, 1}})));
  write("special_tokens_map.json", R"({"pad_token": "a"})");  // the map is the stronger one
  EXPECT_EQ(load().pad_token_id(), 1);
}

TEST_F(Clip, NamesWhatIsBroken) {
  const auto refused = [&](const std::string& words) { return throws([&] { load(); }, words); };
  EXPECT_TRUE(throws([&] { CLIPTokenizer::from_pretrained(path("nowhere")); }, "[CLIPTokenizer] there is no folder " + path("nowhere")));
  EXPECT_TRUE(refused("[CLIPTokenizer] cannot open " + path("vocab.json")));
  write_files();
  std::filesystem::remove(path("merges.txt"));
  EXPECT_TRUE(refused("[CLIPTokenizer] cannot open " + path("merges.txt") + ": No such file"));
  write_files(R"({"a": )");
  EXPECT_TRUE(refused("[CLIPTokenizer] " + path("vocab.json") + " is no JSON"));
  write_files("[1, 2]");
  EXPECT_TRUE(refused(path("vocab.json") + ": got array, expected a JSON object"));
  write_files(R"({"a": "b"})");
  EXPECT_TRUE(refused(path("vocab.json") + ": the id of 'a': got \"b\""));
  write_files(R"({"a": 1, "b": 1})");
  EXPECT_TRUE(refused("have the same id 1"));
  write_files(R"({"a": 0, "b": 1, "ab": 2})", "#version: 0.2\na b\na b c\n");
  EXPECT_TRUE(refused(path("merges.txt") + ", line 3: got 'a b c', expected two tokens"));
  write_files(R"({"a": 0, "b": 1})", "a \xFF\n");
  EXPECT_TRUE(refused("[CLIPTokenizer] " + path("merges.txt") + " is no UTF-8"));
  write_files(R"({"a": 0, "b": 1})", "a b\n");
  EXPECT_TRUE(refused("merge 0 of 'a' and 'b': 'ab' is not in the vocabulary"));
  write_files();
  write("tokenizer_config.json", "not JSON");
  EXPECT_TRUE(refused(path("tokenizer_config.json") + " is no JSON"));
  write("tokenizer_config.json", R"({"model_max_length": "long"})");
  EXPECT_TRUE(refused(path("tokenizer_config.json") + ": model_max_length: got \"long\", expected a number of tokens"));
  write("tokenizer_config.json", R"({"padding_side": "middle"})");
  EXPECT_TRUE(refused("padding_side: got \"middle\", expected \"left\" or \"right\""));
  write("tokenizer_config.json", R"({"pad_token": 3})");
  EXPECT_TRUE(refused(path("tokenizer_config.json") + ": pad_token: got 3, expected a token"));
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": "a"}})");
  EXPECT_TRUE(refused("added_tokens_decoder: got 'x', expected a token id"));
  write("tokenizer_config.json", R"({"eos_token": null})");
  EXPECT_TRUE(refused("[CLIPTokenizer] eos_token: got none"));
  write("tokenizer_config.json", "{}");
  write("special_tokens_map.json", R"({"bos_token": {"content": 5}})");
  EXPECT_TRUE(refused(path("special_tokens_map.json") + ": bos_token"));
  write("special_tokens_map.json", "{}");
  write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}})");
  EXPECT_TRUE(refused(path("tokenizer.json") + ": the model's type: got \"WordPiece\", expected \"BPE\""));
  write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}}})");
  EXPECT_TRUE(refused(path("tokenizer.json") + ": the model has no list of merges"));
  write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}})");
  EXPECT_TRUE(refused(path("tokenizer.json") + ": merge 0: got [\"a\"], expected two tokens"));
}

TEST_F(Clip, SaysWhichWordItCannotEncode) {
  const CLIPTokenizer tokenizer({{"a</w>", 0}}, {},
                                {.unk = "<unk>"});  // the special tokens get the next ids, which the model does not know
  EXPECT_EQ(tokenizer.encode("a"), (Ids{1, 0, 2}));
  EXPECT_TRUE(
      throws([&] { tokenizer.encode("b"); }, "[CLIPTokenizer] the vocabulary has neither 'b' nor the token for unknown ones, '<unk>'"));
}

}  // namespace
