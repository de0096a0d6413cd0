#include "test/cpp/compiler/program_check.h"

#include <gtest/gtest.h>

#include "csrc/compiler/access.h"
#include "csrc/compiler/uses.h"

namespace torch_hpu::testing {
namespace {

using codegen::Access;
using codegen::Loop;
using codegen::Op;

void check_range(const compiler::Program& program, const Loop& loop, const Access& access) {
  int64_t low = access.offset, high = access.offset;
  if (access.dynamic != ir::kNone) {
    ASSERT_EQ(program.graph->windows[access.dynamic].buffer, access.buffer);
    low += program.graph->windows[access.dynamic].offset;
    high = low;
  }
  for (size_t d = 0; d < loop.sizes.size(); ++d) {
    const int64_t span = (loop.sizes[d] - 1) * access.strides[d];
    (span < 0 ? low : high) += span;
  }
  EXPECT_GE(low, 0);
  EXPECT_LE((high + 1) * static_cast<int64_t>(c10::elementSize(access.dtype)), program.buffers[access.buffer].nbytes);
}

void check_loop(const compiler::Program& program, const Loop& loop) {
  EXPECT_NO_THROW(codegen::verify(loop)) << codegen::to_string(loop);
  EXPECT_EQ(loop.scalars.size(), loop.scalar_ids.size());
  for (const codegen::Expr& e : loop.exprs) {
    if (e.op == Op::kLoad && loop.numel() > 0) {
      check_range(program, loop, loop.accesses[static_cast<size_t>(e.imm_i)]);
    }
  }
  for (size_t s = 0; s < loop.stores.size(); ++s) {
    const Access& target = loop.accesses[loop.stores[s].access];
    check_range(program, loop, target);
    for (const codegen::Expr& e : loop.exprs) {
      if (e.op != Op::kLoad && e.op != Op::kLoadAt) {
        continue;
      }
      const Access& source = loop.accesses[static_cast<size_t>(e.imm_i)];
      EXPECT_TRUE(source.buffer != target.buffer || compiler::same_map(*program.graph, source, target) ||
                  !compiler::may_overlap(*program.graph, source, loop.sizes, target, loop.sizes))
          << "stores meet loads in\n"
          << codegen::to_string(loop);
    }
    for (size_t t = 0; t < s; ++t) {
      EXPECT_FALSE(compiler::may_overlap(*program.graph, loop.accesses[loop.stores[t].access], loop.sizes, target, loop.sizes))
          << "stores meet stores in\n"
          << codegen::to_string(loop);
    }
  }
}

}  // namespace

void check_program(const compiler::Program& program, const char* after) {
  SCOPED_TRACE(std::string("after ") + after);
  std::vector<bool> written(program.buffers.size());
  for (size_t b = 0; b < written.size(); ++b) {
    written[b] = program.buffers[b].kind == ir::BufferKind::kInput || program.buffers[b].nbytes == 0;
  }
  for (const compiler::Item& item : program.items) {
    const auto uses = compiler::buffer_uses(program, item);
    for (const compiler::BufferUse& u : uses) {
      const bool own = std::any_of(uses.begin(), uses.end(), [&](const auto& x) { return x.writes && x.buffer == u.buffer; });
      EXPECT_TRUE(u.writes || written[u.buffer] || (own && item.kind == compiler::Item::Kind::kExtern))
          << "buffer " << u.buffer << " is read before it is written:\n"
          << compiler::to_string(program);
    }
    for (const compiler::BufferUse& u : uses) {
      written[u.buffer] = written[u.buffer] || u.writes;
    }
    if (item.kind == compiler::Item::Kind::kLoop) {
      check_loop(program, item.loop);
    }
    for (const codegen::Loop& loop : item.group) {
      check_loop(program, loop);
    }
  }
}

}  // namespace torch_hpu::testing
