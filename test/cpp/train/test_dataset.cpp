// Datasets, the making of batches from examples, token files, and safetensors files as memory.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/data/datasets/base.h>
#include <torch/data/datasets/map.h>
#include <torch/data/datasets/tensor.h>
#include <torch/data/transforms/stack.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/training_data.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace {

namespace fs = std::filesystem;
using torch_hpu::Batch;
using torch_hpu::Example;

class Dataset : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("torch_hpu_dataset_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    fs::remove_all(folder_);
  }
  std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  fs::path folder_;
};

template <typename F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what_without_backtrace()).find(text), std::string::npos) << error.what_without_backtrace();
  }
}

void expect_equal(const at::Tensor& got, const at::Tensor& expected) {
  EXPECT_EQ(got.scalar_type(), expected.scalar_type());
  EXPECT_TRUE(at::equal(got, expected)) << "got\n" << got << "\nexpected\n" << expected;
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

at::Tensor ids(std::initializer_list<int64_t> values) {
  return at::tensor(at::IntArrayRef(values), at::kLong);
}

TEST_F(Dataset, RowsOfTensors) {
  const torch_hpu::TensorDataset data({{"x", at::arange(12, at::kFloat).view({4, 3})}, {"labels", ids({5, 6, 7, 8})}});
  EXPECT_EQ(data.size(), 4);
  const Example example = data.get(2);
  expect_equal(example.at("x"), at::tensor({6.f, 7.f, 8.f}));
  EXPECT_EQ(example.at("labels").dim(), 0);
  const Batch batch = data.get_batch({3, 0});
  EXPECT_EQ(batch.at("x").sizes(), (at::IntArrayRef{2, 3}));
  expect_equal(batch.at("labels"), ids({8, 5}));
  batch.at("labels").fill_(0);  // its own memory
  expect_equal(data.get(0).at("labels"), at::scalar_tensor(5, at::kLong));
  EXPECT_FALSE(data.length(0).has_value());
  expect_error([&] { data.get(4); }, "[TensorDataset] index: got 4, expected 0 to 3");
  expect_error([&] { data.get_batch({-1}); }, "[TensorDataset] index: got -1");
  expect_error([] { torch_hpu::TensorDataset({}); }, "got no tensors");
  expect_error([] { torch_hpu::TensorDataset({{"a", at::zeros({3})}, {"b", at::zeros({2})}}); },
               "[TensorDataset] tensor 'b' has 2 rows, expected 3 as tensor 'a' has");
  expect_error([] { torch_hpu::TensorDataset({{"a", at::zeros({})}}); }, "has no dimensions");
}

TEST_F(Dataset, LengthsForGrouping) {
  const torch_hpu::TensorDataset fixed({{"input_ids", at::zeros({3, 7}, at::kLong)}});
  EXPECT_EQ(torch_hpu::dataset_lengths(fixed), (std::vector<int64_t>{7, 7, 7}));
  const torch_hpu::TensorDataset given({{"input_ids", at::zeros({3, 7}, at::kLong)}, {"length", ids({2, 7, 4})}});
  EXPECT_EQ(torch_hpu::dataset_lengths(given), (std::vector<int64_t>{2, 7, 4}));
  const torch_hpu::ListDataset list({{{"input_ids", ids({1, 2})}}, {{"input_ids", ids({1, 2, 3})}}});
  EXPECT_EQ(torch_hpu::dataset_lengths(list), (std::vector<int64_t>{2, 3}));
  const torch_hpu::ListDataset none({{{"x", ids({1, 2})}}});
  expect_error([&] { torch_hpu::dataset_lengths(none); }, "[group_by_length] the dataset does not know the lengths");
}

TEST_F(Dataset, PadsToTheLongest) {
  const std::vector<Example> examples = {
      {{"input_ids", ids({1, 2, 3})}, {"attention_mask", at::ones({3}, at::kInt)}, {"labels", ids({1, 2, 3})}, {"y", at::zeros({2, 2})}},
      {{"input_ids", ids({4})}, {"attention_mask", at::ones({1}, at::kInt)}, {"labels", ids({4})}, {"y", at::ones({2, 2})}}};
  const Batch batch = torch_hpu::PadCollate()(examples);
  expect_equal(batch.at("input_ids"), ids({1, 2, 3, 4, 0, 0}).view({2, 3}));
  expect_equal(batch.at("labels"), ids({1, 2, 3, 4, -100, -100}).view({2, 3}));
  expect_equal(batch.at("attention_mask"), at::tensor({1, 1, 1, 1, 0, 0}, at::kInt).view({2, 3}));
  EXPECT_EQ(batch.at("y").sizes(), (at::IntArrayRef{2, 2, 2}));
  const torch_hpu::PadCollate eights({{"input_ids", 9}, {"labels", -100}, {"attention_mask", 0}}, 8);
  const Batch rounded = eights(examples);
  EXPECT_EQ(rounded.at("input_ids").sizes(), (at::IntArrayRef{2, 8}));
  EXPECT_EQ(rounded.at("input_ids")[0][7].item<int64_t>(), 9);
  EXPECT_EQ(eights({examples[1]}).at("labels").sizes(), (at::IntArrayRef{1, 8}));
  expect_error([] { torch_hpu::PadCollate()({}); }, "got no examples");
  expect_error([] { torch_hpu::PadCollate()({{{"z", ids({1})}}, {{"z", ids({1, 2})}}}); },
               "field 'z' has different lengths in one batch, and no padding value is given for it");
  expect_error([] { torch_hpu::PadCollate()({{{"z", at::zeros({1, 2})}}, {{"z", at::zeros({2, 2})}}}); },
               "field 'z': example 1 of the batch is Float[2, 2], example 0 is Float[1, 2]");
  expect_error([] { torch_hpu::PadCollate()({{{"z", ids({1})}}, {{"y", ids({1})}}}); }, "it has no 'z'");
  expect_error([] { torch_hpu::PadCollate()({{{"z", ids({1})}}, {{"z", ids({1})}, {"y", ids({1})}}}); }, "has other fields than example 0");
}

TEST_F(Dataset, BatchesNameTheBrokenExample) {
  struct Broken : torch_hpu::Dataset {
    int64_t size() const override {
      return 10;
    }
    Example get(int64_t index) const override {
      if (index == 7) {
        throw std::runtime_error("the disk is on fire");
      }
      return {{"x", at::full({1}, index)}};
    }
  };
  expect_error([] { Broken().get_batch({6, 7, 8}); }, "[Dataset] example 7 cannot be loaded: the disk is on fire");
  expect_error([] { Broken().get_batch({10}); }, "[Dataset] example 10 does not exist: the dataset has 10");
}

TEST_F(Dataset, TokensInBlocks) {
  const at::Tensor text = at::arange(1, 24, at::kLong);
  for (const auto dtype : {at::kByte, at::kUInt16, at::kUInt32}) {
    torch_hpu::save_tokens(path("tokens.bin"), text, dtype);
    EXPECT_EQ(fs::file_size(path("tokens.bin")), 24 + 23 * c10::elementSize(dtype));
    const torch_hpu::TokenDataset data(path("tokens.bin"), 5);
    EXPECT_EQ(data.size(), 4);  // the last three tokens are left out
    EXPECT_EQ(data.tokens(), 23);
    expect_equal(data.get(1).at("input_ids"), ids({6, 7, 8, 9, 10}));
    expect_equal(data.get(1).at("labels"), ids({6, 7, 8, 9, 10}));
    const Batch batch = data.get_batch({3, 0});
    expect_equal(batch.at("input_ids"), ids({16, 17, 18, 19, 20, 1, 2, 3, 4, 5}).view({2, 5}));
    batch.at("labels").fill_(-100);
    EXPECT_EQ(batch.at("input_ids").min().item<int64_t>(), 1);
    EXPECT_EQ(data.length(0), 5);
    write(path("raw.bin"), read(path("tokens.bin")).substr(24));
    expect_equal(torch_hpu::TokenDataset(path("raw.bin"), 5, dtype).get(3).at("input_ids"), ids({16, 17, 18, 19, 20}));
  }
  expect_equal(torch_hpu::TokenDataset(text.to(at::kInt), 23).get(0).at("input_ids"), text);
  torch_hpu::save_tokens(path("large.bin"), ids({0, 4'000'000'000}), at::kUInt32);
  expect_equal(torch_hpu::TokenDataset(path("large.bin"), 2).get(0).at("input_ids"), ids({0, 4'000'000'000}));
}

TEST_F(Dataset, TokenFilesAreChecked) {
  const at::Tensor text = at::arange(8, at::kLong);
  torch_hpu::save_tokens(path("tokens.bin"), text, at::kUInt16);
  const std::string good = read(path("tokens.bin"));
  expect_error([&] { torch_hpu::TokenDataset(path("tokens.bin"), 9); }, "the text has 8 tokens, fewer than one block of 9");
  expect_error([&] { torch_hpu::TokenDataset(path("tokens.bin"), 0); }, "block_size: got 0");
  expect_error([&] { torch_hpu::TokenDataset(path("tokens.bin"), 2, at::kUInt16); }, "has a header, which says the dtype: give none");
  expect_error([&] { torch_hpu::TokenDataset(path("none.bin"), 2); }, "cannot open");
  write(path("bad.bin"), good.substr(0, good.size() - 1));
  expect_error([&] { torch_hpu::TokenDataset(path("bad.bin"), 2); },
               "holds 15 bytes of tokens, expected 8 tokens of 2 bytes. Is it cut off?");
  write(path("bad.bin"), good.substr(24));
  expect_error([&] { torch_hpu::TokenDataset(path("bad.bin"), 2); }, "does not begin with a token file's header");
  expect_error([&] { torch_hpu::TokenDataset(path("bad.bin"), 2, at::kLong); }, "dtype of a token file: got Long");
  write(path("bad.bin"), good.substr(24, 15));
  expect_error([&] { torch_hpu::TokenDataset(path("bad.bin"), 2, at::kUInt16); },
               "has 15 bytes, which is no whole number of uint16 tokens");
  std::string version = good;
  version[8] = 9;
  write(path("bad.bin"), version);
  expect_error([&] { torch_hpu::TokenDataset(path("bad.bin"), 2); }, "has version 9, expected 1");
  write(path("bad.bin"), "");
  expect_error([&] { torch_hpu::TokenDataset(path("bad.bin"), 2); }, "is empty");
  expect_error([&] { torch_hpu::save_tokens(path("x.bin"), ids({1, 256}), at::kByte); },
               "tokens from 1 to 256 do not fit uint8, expected 0 to 255");
  expect_error([&] { torch_hpu::save_tokens(path("x.bin"), ids({-1}), at::kUInt32); }, "tokens from -1 to -1 do not fit uint32");
}

struct Squares : torch::data::datasets::Dataset<Squares> {
  torch::data::Example<> get(size_t index) override {
    ++calls;  // such datasets promise nothing about threads
    return {at::full({2}, static_cast<double>(index)), at::scalar_tensor(static_cast<int64_t>(index * index), at::kLong)};
  }
  std::optional<size_t> size() const override {
    return 5;
  }
  int calls = 0;
};

TEST_F(Dataset, TorchDatasets) {
  const auto data = torch_hpu::from_torch_data(Squares(), "pixel_values", "labels");
  EXPECT_EQ(data->size(), 5);
  expect_equal(data->get(3).at("pixel_values"), at::full({2}, 3.0));
  expect_equal(data->get_batch({1, 4}).at("labels"), ids({1, 16}));
  const auto mapped = torch_hpu::from_torch_data(Squares().map(torch::data::transforms::Lambda<torch::data::Example<>>(
      [](torch::data::Example<> e) { return torch::data::Example<>(e.data + 1, e.target); })));
  expect_equal(mapped->get(3).at("data"), at::full({2}, 4.0));
  const auto stacked = torch_hpu::from_torch_data(Squares().map(torch::data::transforms::Stack<>()));
  expect_equal(stacked->get(2).at("target"), at::scalar_tensor(4, at::kLong));
  expect_equal(stacked->get(2).at("data"), at::full({2}, 2.0));
  const auto tensors = torch_hpu::from_torch_data(torch::data::datasets::TensorDataset(at::arange(6, at::kFloat).view({3, 2})), "x");
  expect_equal(tensors->get(1).at("x"), at::tensor({2.f, 3.f}));
  EXPECT_EQ(tensors->get(1).size(), 1u);
}

TEST_F(Dataset, SafetensorsFilesAreMapped) {
  const std::map<std::string, at::Tensor> tensors = {{"a", at::randn({5, 3})},
                                                     {"b", at::arange(5, at::kLong)},
                                                     {"c", at::ones({5, 1}, at::kByte)},
                                                     {"d", at::arange(10, at::kFloat).view({5, 2})},  // behind 5 bytes: not aligned
                                                     {"empty", at::zeros({5, 0}, at::kHalf)}};
  torch_hpu::save_safetensors(path("x.safetensors"), tensors);
  const std::string bytes = read(path("x.safetensors"));
  auto mapped = torch_hpu::map_safetensors(path("x.safetensors"));
  ASSERT_EQ(mapped.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    expect_equal(mapped.at(name), tensor);
    if (tensor.numel() > 0) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(mapped.at(name).const_data_ptr()) % tensor.itemsize(), 0u);
    }
  }
  mapped.at("a").fill_(1);  // private to this mapping
  mapped.at("a").add_(1);
  EXPECT_EQ(read(path("x.safetensors")), bytes);
  expect_equal(torch_hpu::map_safetensors(path("x.safetensors")).at("a"), tensors.at("a"));
  const at::Tensor survivor = torch_hpu::map_safetensors(path("x.safetensors")).at("b");
  fs::remove(path("x.safetensors"));
  expect_equal(survivor, tensors.at("b"));

  torch_hpu::save_safetensors(path("y.safetensors"), tensors);
  const torch_hpu::SafetensorsDataset data(path("y.safetensors"));
  EXPECT_EQ(data.size(), 5);
  expect_equal(data.get_batch({4, 1}).at("d"), at::tensor({8.f, 9.f, 2.f, 3.f}).view({2, 2}));
  torch_hpu::save_safetensors(path("y.safetensors"), {{"a", at::zeros({5, 3})}, {"b", at::zeros({4})}});
  expect_error([&] { torch_hpu::SafetensorsDataset(path("y.safetensors")); }, "tensor 'b' has shape [4], but an example is a row of every");
  torch_hpu::save_safetensors(path("y.safetensors"), {});
  expect_error([&] { torch_hpu::SafetensorsDataset(path("y.safetensors")); }, "holds no tensors");
}

TEST_F(Dataset, ShardedSafetensors) {
  torch_hpu::save_safetensors(path("model-00001-of-00002.safetensors"), {{"a", at::ones({2})}, {"b", at::zeros({3})}});
  torch_hpu::save_safetensors(path("model-00002-of-00002.safetensors"), {{"c", at::full({1}, 7.0)}});
  const std::string index = path("model.safetensors.index.json");
  const auto write_index = [&](const std::string& map) { write(index, R"({"metadata": {"total_size": 24}, "weight_map": )" + map + "}"); };
  write_index(
      R"({"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"})");
  for (const std::string& from : {index, folder_.string()}) {
    const auto tensors = torch_hpu::load_safetensors_sharded(from);
    EXPECT_EQ(tensors.size(), 3u);
    expect_equal(tensors.at("c"), at::full({1}, 7.0));
  }
  write_index(R"({"z": "model-00002-of-00002.safetensors"})");
  expect_error([&] { torch_hpu::load_safetensors_sharded(index); },
               "tensor 'z' is missing, which model.safetensors.index.json says is there");
  write_index(R"({"a": "../model-00002-of-00002.safetensors"})");
  expect_error([&] { torch_hpu::load_safetensors_sharded(index); }, "expected the name of a file in the same folder, got \"../model");
  write_index(R"({"a": 3})");
  expect_error([&] { torch_hpu::load_safetensors_sharded(index); }, "expected the name of a file in the same folder, got 3");
  write_index(R"({"a": "model-00003.safetensors"})");
  expect_error([&] { torch_hpu::load_safetensors_sharded(index); }, "cannot open");
  write(index, "[]");
  expect_error([&] { torch_hpu::load_safetensors_sharded(index); }, "expected a JSON object with an object 'weight_map'");
  torch_hpu::save_safetensors(path("model-00003.safetensors"), {{"c", at::ones({1})}, {"e", at::ones({1})}});
  write_index(R"({"c": "model-00002-of-00002.safetensors", "e": "model-00003.safetensors"})");
  expect_error([&] { torch_hpu::load_safetensors_sharded(index); },
               "tensor 'c' is in model-00002-of-00002.safetensors and in model-00003.safetensors");
  fs::remove(index);
  expect_error([&] { torch_hpu::load_safetensors_sharded(folder_.string()); }, "holds 0 files named *.safetensors.index.json, expected 1");
}

// Whatever is done to a file, it loads or it throws c10::Error, and nothing larger than the file is allocated.
TEST_F(Dataset, BrokenSafetensorsNeverCrash) {
  torch_hpu::save_safetensors(path("good.safetensors"), {{"weight", at::randn({4, 3})},
                                                         {"bias", at::arange(4, at::kLong)},
                                                         {"flags", at::ones({3}, at::kBool)},
                                                         {"half", at::zeros({2, 0, 5}, at::kHalf)}});
  const std::string good = read(path("good.safetensors"));
  const std::string bad = path("bad.safetensors");
  std::mt19937 random(0);
  int loaded = 0, refused = 0;
  const auto attempt = [&](const std::string& bytes) {
    write(bad, bytes);
    for (const auto read_tensors : {torch_hpu::load_safetensors, torch_hpu::map_safetensors}) {
      try {
        for (const auto& [name, tensor] : read_tensors(bad)) {
          EXPECT_LE(tensor.nbytes(), bytes.size());
          if (tensor.scalar_type() != at::kBool) {
            tensor.sum();  // every byte can be read
          }
        }
        ++loaded;
      } catch (const c10::Error&) {
        ++refused;
      }
    }
  };
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = good;
    const size_t flips = 1 + random() % 4;
    const size_t limit = i % 4 == 0 ? bytes.size() : 8 + good.rfind('}') + 1;  // mostly the header
    for (size_t f = 0; f < flips; ++f) {
      bytes[random() % std::min(limit, bytes.size())] ^= static_cast<char>(1 << random() % 8);
    }
    attempt(bytes);
  }
  for (size_t length = 0; length < good.size(); ++length) {
    attempt(good.substr(0, length));
  }
  const size_t header = good.size() - 48 - 32 - 3;
  const std::string digits = "0123456789";
  for (int i = 0; i < 1000; ++i) {  // other numbers in the header
    std::string bytes = good;
    for (size_t at = 8; at < header; ++at) {
      if (std::isdigit(static_cast<unsigned char>(bytes[at])) != 0 && random() % 8 == 0) {
        bytes[at] = digits[random() % 10];
      }
    }
    attempt(bytes);
  }
  for (const std::string shape : {"[9223372036854775807,0,9223372036854775807]", "[4611686018427387904,4]", "[-1]", "[1e9]", "[\"3\"]"}) {
    const std::string json = R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,0]}})";
    attempt(std::string(1, static_cast<char>(json.size())) + std::string(7, '\0') + json);
  }
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 256 * 1024) << "kilobytes";
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 5000);
}

}  // namespace
