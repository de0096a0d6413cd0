#include "csrc/compiler/pass_table.h"

#include <atomic>
#include <fstream>

#include "csrc/compiler/passes/dead_code.h"
#include "csrc/compiler/passes/fuse.h"
#include "csrc/compiler/passes/group.h"
#include "csrc/compiler/passes/unit_reductions.h"
#include "csrc/ir/text.h"
#include "csrc/support/env.h"

namespace torch_hpu::compiler {

const std::vector<Pass>& passes() {
  static const std::vector<Pass> table{
      {"dead_code", &remove_dead_code}, {"unit_reductions", &drop_unit_reductions}, {"fuse", &fuse}, {"dead_code", &remove_dead_code},
      {"group", &group_loops},
  };
  return table;
}

namespace {

// With TORCH_HPU_VERIFY: what every pass must leave behind.
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

void run_passes(Program& program) {
  check(program);
  const std::string& folder = options().dump;
  if (folder.empty()) {
    for (const Pass& pass : passes()) {
      pass.run(program);
      check(program);
    }
    return;
  }
  static std::atomic<int> next{0};
  const std::string prefix = folder + "/" + std::to_string(next.fetch_add(1)) + ".";
  auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream out(prefix + name + ".txt");
    out << text;
    TORCH_CHECK(out.good(), "[hpu] TORCH_HPU_DUMP: cannot write into the folder ", folder);
  };
  write("graph", ir::to_string(*program.graph));
  std::string text = to_string(program);
  write("0.lowered", text);
  int number = 1;
  for (const Pass& pass : passes()) {
    pass.run(program);
    check(program);
    std::string after = to_string(program);
    if (after != text) {
      write(std::to_string(number) + "." + pass.name, after);
      text = std::move(after);
    }
    ++number;
  }
}

}  // namespace torch_hpu::compiler
