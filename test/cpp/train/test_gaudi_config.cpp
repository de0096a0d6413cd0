// gaudi_config.json: read, written, refused.
#include <torch_hpu/gaudi_config.h>

#include "test/cpp/train/train_test.h"

namespace {

using torch_hpu::GaudiConfig;
using torch_hpu::test::throws;

struct GaudiConfigFile : torch_hpu::test::InFolder {};

TEST_F(GaudiConfigFile, Defaults) {
  const GaudiConfig config = GaudiConfig::from_json("{}");
  EXPECT_FALSE(config.use_torch_autocast || config.use_dynamic_shapes || config.use_fused_adam || config.use_fused_clip_norm);
  EXPECT_FALSE(config.autocast_bf16_ops || config.autocast_fp32_ops);
}

TEST_F(GaudiConfigFile, ReadsEveryFieldAndLeavesOthersOut) {
  const GaudiConfig config = GaudiConfig::from_json(R"({"use_torch_autocast": true, "use_dynamic_shapes": true, "use_fused_adam": true,
      "use_fused_clip_norm": true, "autocast_bf16_ops": ["add", "mm"], "autocast_fp32_ops": [], "optimum_version": "1.20",
      "transformers_version": null})");
  EXPECT_TRUE(config.use_torch_autocast && config.use_dynamic_shapes && config.use_fused_adam && config.use_fused_clip_norm);
  EXPECT_EQ(config.autocast_bf16_ops, (std::vector<std::string>{"add", "mm"}));
  EXPECT_EQ(config.autocast_fp32_ops, std::vector<std::string>());
}

TEST_F(GaudiConfigFile, ComesBackAsItWasSaved) {
  GaudiConfig config;
  config.use_fused_adam = config.use_torch_autocast = true;
  config.autocast_bf16_ops = {"mm", "ä\"\\"};
  config.autocast_fp32_ops = {"softmax"};
  config.save_pretrained(path("new/folder"));
  for (const std::string& from : {path("new/folder"), path("new/folder/gaudi_config.json")}) {
    EXPECT_EQ(GaudiConfig::from_pretrained(from).to_json(), config.to_json());
  }
  EXPECT_FALSE(std::filesystem::exists(path("new/folder/gaudi_config.json.partial")));
  EXPECT_EQ(GaudiConfig::from_json(GaudiConfig().to_json()).to_json(), GaudiConfig().to_json());
}

TEST_F(GaudiConfigFile, SaysWhatIsWrong) {
  const auto read = [](const std::string& text) { return [text] { GaudiConfig::from_json(text, "my.json"); }; };
  EXPECT_TRUE(throws(read("["), "[GaudiConfig] my.json is no valid JSON"));
  EXPECT_TRUE(throws(read("[]"), "[GaudiConfig] my.json: expected a JSON object"));
  EXPECT_TRUE(throws(read(R"({"use_fused_adam": "yes"})"), "my.json: use_fused_adam: got \"yes\", expected true or false"));
  EXPECT_TRUE(throws(read(R"({"use_torch_autocast": null})"), "use_torch_autocast: got null, expected true or false"));
  EXPECT_TRUE(throws(read(R"({"autocast_bf16_ops": "mm", "autocast_fp32_ops": []})"), "autocast_bf16_ops: got \"mm\", expected a list"));
  EXPECT_TRUE(
      throws(read(R"({"autocast_bf16_ops": [1], "autocast_fp32_ops": []})"), "autocast_bf16_ops: got 1, expected the name of an op"));
  EXPECT_TRUE(throws(read(R"({"autocast_fp32_ops": []})"), "only one of autocast_bf16_ops and autocast_fp32_ops is given"));
  EXPECT_TRUE(throws([&] { GaudiConfig::from_pretrained(path("nowhere")); }, "[GaudiConfig] cannot open " + path("nowhere")));
  EXPECT_TRUE(throws([&] { GaudiConfig::from_pretrained(folder_.string()); }, "cannot open " + path("gaudi_config.json")));
  write("a_file", "");
  EXPECT_TRUE(throws([&] { GaudiConfig().save_pretrained(path("a_file")); }, "[GaudiConfig] cannot make the folder " + path("a_file")));
}

}  // namespace
