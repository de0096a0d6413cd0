#include "csrc/compiler/pass_table.h"

#include <atomic>
#include <fstream>

#include "csrc/compiler/lower.h"
#include "csrc/compiler/passes/channels_last.h"
#include "csrc/compiler/passes/cse.h"
#include "csrc/compiler/passes/dead_code.h"
#include "csrc/compiler/passes/epilogue.h"
#include "csrc/compiler/passes/fuse.h"
#include "csrc/compiler/passes/group.h"
#include "csrc/compiler/passes/schedule.h"
#include "csrc/compiler/passes/siblings.h"
#include "csrc/compiler/passes/simplify.h"
#include "csrc/compiler/passes/unit_reductions.h"
#include "csrc/ir/text.h"
#include "csrc/ir/verify.h"
#include "csrc/support/env.h"
#include "csrc/support/hash.h"

namespace torch_hpu::compiler {

const std::vector<GraphPass>& graph_passes() {
  static const std::vector<GraphPass> table{{"cse", &share_equal_nodes}};
  return table;
}

const std::vector<Pass>& passes() {
  static const std::vector<Pass> table{
      {"dead_code", &remove_dead_code},
      {"unit_reductions", &drop_unit_reductions},
      {"simplify", &simplify},
      {"channels_last", &lay_channels_last},
      {"epilogue", &fuse_epilogues},
      {"siblings", &merge_siblings},
      {"fuse", &fuse},
      {"simplify", &simplify},
      {"dead_code", &remove_dead_code},
      {"group", &group_loops},
      {"schedule", &schedule},
  };
  return table;
}

namespace {

// With TORCH_HPU_VERIFY: what every pass must leave behind.
void check(const ir::Graph& graph) {
  if (options().verify) {
    ir::verify(graph);
  }
}
void check(const Program& program) {
  if (options().verify) {
    for (const Item& item : program.items) {
      if (item.kind == Item::Kind::kLoop) {
        codegen::verify(item.loop);
      }
      for (const codegen::Loop& loop : item.group) {
        codegen::verify(loop);
      }
    }
  }
}

}  // namespace

// With TORCH_HPU_DUMP: the files of one graph, "7.1a2b3c4d.03.fuse.txt" being the graph 1a2b3c4d, the seventh, after the third stage.
class Pipeline::Dump {
 public:
  explicit Dump(uint64_t id) {
    static std::atomic<int> next{0};
    if (!options().dump.empty()) {
      prefix_ = options().dump + "/" + std::to_string(next.fetch_add(1)) + "." + hex8(id) + ".";
    }
  }

  template <typename Stage>
  void after(const char* name, const Stage& stage) {
    if (prefix_.empty()) {
      return;
    }
    std::string text = to_string(stage);
    const std::string number = std::to_string(number_++);
    if (text != text_) {
      std::ofstream out(prefix_ + (number.size() < 2 ? "0" : "") + number + "." + name + ".txt");
      out << text;
      TORCH_CHECK(out.good(), "[hpu] TORCH_HPU_DUMP: cannot write into the folder ", options().dump);
      text_ = std::move(text);
    }
  }

 private:
  std::string prefix_, text_;
  int number_ = 0;
};

Pipeline::Pipeline(ir::Graph graph, uint64_t id) : graph_(std::move(graph)), dump_(std::make_unique<Dump>(id)) {
  check(graph_);
  dump_->after("graph", graph_);
  for (const GraphPass& pass : graph_passes()) {
    pass.run(graph_);
    check(graph_);
    dump_->after(pass.name, graph_);
  }
}

Pipeline::~Pipeline() = default;

Program Pipeline::program() && {
  Program program = lower(std::move(graph_));
  check(program);
  dump_->after("lowered", program);
  for (const Pass& pass : passes()) {
    pass.run(program);
    check(program);
    dump_->after(pass.name, program);
  }
  return program;
}

}  // namespace torch_hpu::compiler
