// What a loop looks like, what a malformed one is told, and how the compiler's numbers become local ones.
#include <c10/util/Exception.h>

#include "test/cpp/codegen/harness.h"

namespace torch_hpu::codegen {
namespace {

LoopBuilder example() {
  LoopBuilder b("fused_example", {8, 128}, 1);
  const uint32_t x = b.access(12, S::BFloat16, {128, 1}, 64, 3);
  const ExprId v = b.load(x);
  const ExprId k = b.constant(S::Float, 0.1);
  const ExprId s = b.scalar(ir::ScalarCategory::kFloat, S::Float);
  b.loop.scalar_ids[0] = 9;
  const ExprId sum = b.unary(Op::kReduceSum, b.expr(Op::kFma, S::Float, v, k, s));
  const ExprId i = b.expr(Op::kCheckIndex, S::Long, b.index(0), kNoExpr, kNoExpr, 8);
  const ExprId g = b.load_at(b.access(5, S::Float, {0, 0}), i);
  b.store(b.access(12, S::BFloat16, {128, 1}, 64, 3), b.binary(Op::kSub, v, sum));
  b.store(b.access(7, S::Float, {0, 0}), g, i);
  return b;
}

TEST(Text, OneLinePerExpression) {
  EXPECT_EQ(to_string(example().loop),
            "fused_example [8 | 128]\n"
            "  a0: BFloat16 b12 + 64 + w3 [128, 1]\n"
            "  a1: Float b5 [0, 0]\n"
            "  a2: BFloat16 b12 + 64 + w3 [128, 1]\n"
            "  a3: Float b7 [0, 0]\n"
            "  s0: float scalar 9\n"
            "  %0 = load a0 : Float\n"
            "  %1 = const 0.1 : Float\n"
            "  %2 = scalar s0 : Float\n"
            "  %3 = fma %0, %1, %2 : Float\n"
            "  %4 = reduce_sum %3 : Float\n"
            "  %5 = index d0 : Long\n"
            "  %6 = check_index %5 of 8 : Long\n"
            "  %7 = load_at a1 at %6 : Float\n"
            "  %8 = sub %0, %4 : Float\n"
            "  a2 <- %8\n"
            "  a3 <- %7 at %6\n");
  LoopBuilder scalar_loop("one", {}, 0);
  scalar_loop.store(0, S::Long, {}, scalar_loop.constant(S::Long, -3));
  EXPECT_EQ(to_string(scalar_loop.loop), "one []\n  a0: Long b0 []\n  %0 = const -3 : Long\n  a0 <- %0\n");
  LoopBuilder reduced("all", {4, 5}, 0);
  EXPECT_EQ(to_string(reduced.loop), "all [| 4, 5]\n");
}

void expect_malformed(const Loop& loop, const std::string& message) {
  try {
    verify(loop);
    ADD_FAILURE() << "accepted: " << to_string(loop);
  } catch (const c10::Error& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("malformed loop " + loop.name + ": " + message), std::string::npos) << text;
  }
}

TEST(Verify, AcceptsTheExample) {
  verify(example().loop);
}

TEST(Verify, NamesWhatIsMalformed) {
  const auto broken = [](auto&& change, const std::string& message) {
    Loop loop = example().loop;
    change(loop);
    expect_malformed(loop, message);
  };
  broken([](Loop& l) { l.kept = 3; }, "kept is 3, the rank 2");
  broken([](Loop& l) { l.sizes[0] = -1; }, "negative size -1");
  broken([](Loop& l) { l.accesses[1].strides.pop_back(); }, "access a1 has 1 strides, the loop 2 dims");
  broken([](Loop& l) { l.accesses[1].buffer = ir::kNone; }, "access a1 has no buffer");
  broken([](Loop& l) { l.accesses[1].dtype = S::ComplexFloat; }, "access a1 has dtype ComplexFloat");
  broken([](Loop& l) { l.exprs[3].b = 3; }, "%3 has operand 3");
  broken([](Loop& l) { l.exprs[3].c = kNoExpr; }, "%3 has operand -1");
  broken([](Loop& l) { l.exprs[8].c = 1; }, "%8 (sub) has 3 operands");
  broken([](Loop& l) { l.exprs[0].imm_i = 4; }, "%0 names access 4");
  broken([](Loop& l) { l.exprs[0].dtype = S::Half; }, "%0 has dtype Half");
  broken([](Loop& l) { l.exprs[0].dtype = S::Double; }, "%0 loads BFloat16 as Double");
  broken([](Loop& l) { l.exprs[1].dtype = S::Double; }, "%3 (fma) has an operand of dtype Double, expected Float");
  broken([](Loop& l) { l.exprs[2].imm_i = 1; }, "%2 names scalar 1");
  broken([](Loop& l) { l.exprs[5].imm_i = 2; }, "%5 names dim 2");
  broken([](Loop& l) { l.exprs[5].dtype = S::Int; }, "%5 (index) has dtype Int");
  broken([](Loop& l) { l.exprs[7].a = 3; }, "%7 has a displacement of dtype Float");
  broken([](Loop& l) { l.exprs[8].op = Op::kAnd; }, "%8 (and) does not take dtype Float");
  broken([](Loop& l) { l.exprs[8] = {Op::kLt, S::Float, 0, 4, kNoExpr, 0, 0}; }, "%8 (lt) has dtype Float, expected Bool");
  broken([](Loop& l) { l.exprs[8] = {Op::kUniform, S::Float, 6, kNoExpr, kNoExpr, 0, 0}; },
         "%8 is random, the loop has no generator state");
  broken([](Loop& l) { l.exprs[4].op = Op::kReduceArgMax; }, "%4 (reduce_argmax) has dtype Float, its operand Float");
  broken([](Loop& l) { l.stores[0].access = 9; }, "store 0 names access 9");
  broken([](Loop& l) { l.stores[0].value = 9; }, "store 0 stores %9");
  broken([](Loop& l) { l.stores[0].value = 6; }, "store 0 stores Long into BFloat16");
  broken([](Loop& l) { l.stores[1].at = 0; }, "store 1 is at %0");
  broken([](Loop& l) { l.accesses[2].strides[1] = 0; }, "store 0 stores a point-level value");
}

TEST(Localize, NumbersDenselyInOrderOfFirstUse) {
  LoopBuilder b = example();
  b.loop.rng = 20;
  const Localized l = localize(b.loop);
  EXPECT_EQ(l.buffers, (std::vector<uint32_t>{12, 5, 7}));
  EXPECT_EQ(l.windows, (std::vector<uint32_t>{3}));
  EXPECT_EQ(l.scalars, (std::vector<ir::ScalarId>{9, 20, 21}));
  EXPECT_EQ(l.loop.accesses[2].buffer, 0u);
  EXPECT_EQ(l.loop.accesses[3].buffer, 2u);
  EXPECT_EQ(l.loop.accesses[2].dynamic, 0u);
  EXPECT_EQ(l.loop.accesses[1].dynamic, ir::kNone);
  EXPECT_EQ(l.loop.rng, 1u);
  EXPECT_EQ(l.loop.scalars.size(), 3u);
  verify(l.loop);
}

TEST(Localize, EqualLoopsBecomeEqual) {  // whatever the compiler's numbers were: the kernel cache depends on it
  LoopBuilder a = example(), b = example();
  for (Access& x : b.loop.accesses) {
    x.buffer += 100;
    x.dynamic = x.dynamic == ir::kNone ? ir::kNone : x.dynamic + 7;
  }
  b.loop.scalar_ids[0] = 55;
  EXPECT_EQ(to_string(localize(a.loop).loop), to_string(localize(b.loop).loop));
}

}  // namespace
}  // namespace torch_hpu::codegen
