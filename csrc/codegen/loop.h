// The loop IR: what lowering produces, fusion combines and the code generator turns into machine code.
//
// Note [Loops]
// A Loop is an iteration space, a DAG of expressions evaluated at each point of it, and stores. The first `kept` dims are
// kept, the remaining ones are reduced. An expression has a level:
//   - "point": it depends on the reduced dims (through a load, an index, or an operand at point level);
//   - "row": it does not (reductions, loads that do not move along the reduced dims, constants, scalars).
// `Reduce` folds a point-level operand over all reduced dims and is itself at row level, so later expressions may use it at
// both levels: softmax, layer norm and cross entropy with their neighbours are one Loop with several Reduce expressions
// that depend on each other. The code generator runs as many passes over the reduced dims as the longest chain of Reduce
// expressions needs; point stores happen in the last pass, row stores after it.
// A loop without reduced dims (kept == sizes.size()) is a pointwise loop.
//
// Note [Aliasing inside a loop]
// A loop may load a buffer that it stores, only with the same address map (same strides and offset). The code generator
// may then assume that no store is read by another point. Everything else is the compiler's business.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/ir/graph.h"

namespace torch_hpu::codegen {

using ir::DimVector;
using ExprId = int32_t;
inline constexpr ExprId kNoExpr = -1;

// dtypes of expressions: Bool, Byte, Char, Short, Int, Long, Float, Double. Half and BFloat16 exist in memory only:
// a Load of them has dtype Float (exact), a Store rounds to nearest even. Integer arithmetic wraps.
enum class Op : uint8_t {
  // leaves
  kConst,       // imm_i (integers, bool) or imm_d (floating point)
  kScalar,      // run-time scalar number imm_i; converted from its category to dtype (the category is in Loop::scalars)
  kIndex,       // the coordinate along dim imm_i, dtype Long
  kLoad,        // access imm_i
  kLoadAt,      // access imm_i, displaced by a (Long, elements): gather, embedding, index
  kCheckIndex,  // a: Long index; imm_i: size n. Yields a < 0 ? a + n : a when -n <= a < n; else 0, and the run fails
  kUniform,     // Philox4x32-10 at element a (Long): see Note [Random numbers]; dtype Float: [0,1) with 24 bits; Double: 53 bits
  kRandomBits,  // the same generator: 64 random bits as Long (a: element)
  // conversions
  kCast,  // a to dtype, as static_cast in ATen (float to int truncates; to bool is != 0)
  // unary, floating point unless said
  kNeg,
  kAbs,
  kSign,    // integers too
  kBitNot,  // integers; logical not for Bool
  kExp,
  kExp2,
  kExpm1,
  kLog,
  kLog2,
  kLog10,
  kLog1p,
  kSqrt,
  kRsqrt,
  kReciprocal,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kSinh,
  kCosh,
  kTanh,
  kAsinh,
  kAcosh,
  kAtanh,
  kErf,
  kErfc,
  kErfinv,
  kLgamma,
  kDigamma,
  // special functions: ATen's own, called lane by lane (scalar_math.cpp)
  kErfcx,
  kNdtri,
  kTrigamma,
  kI0,
  kI0e,
  kI1,
  kI1e,
  kAiryAi,
  kBesselJ0,
  kBesselJ1,
  kBesselY0,
  kBesselY1,
  kModifiedBesselI0,
  kModifiedBesselI1,
  kModifiedBesselK0,
  kModifiedBesselK1,
  kScaledModifiedBesselK0,
  kScaledModifiedBesselK1,
  kSphericalBesselJ0,
  kFrexpMantissa,
  kFrexpExponent,  // a floating point number
  kSigmoid,
  kFloor,
  kCeil,
  kTrunc,
  kRound,  // round half to even
  kIsNan,
  kIsInf,  // dtype Bool
  // binary; operands have one dtype (dtype of the result unless said)
  kAdd,
  kSub,
  kMul,
  kDiv,       // floating point: IEEE. integers: truncating; division by zero fails the run as ATen does (ZeroDivisionError)
  kDivFloor,  // as torch.floor_divide / div(rounding_mode="floor"), integers and floating point
  kFmod,
  kRemainder,  // as torch.fmod (C) and torch.remainder (Python), integers and floating point
  kPow,        // floating point: libm pow; integers: wrapping, negative exponents as ATen
  kAtan2,
  kHypot,
  kNextAfter,
  kCopySign,
  kGcd,   // integers
  kZeta,  // special functions of two arguments
  kIgamma,
  kIgammac,
  kChebyshevT,  // polynomials at a, of degree b
  kChebyshevU,
  kChebyshevV,
  kChebyshevW,
  kShiftedChebyshevT,
  kShiftedChebyshevU,
  kShiftedChebyshevV,
  kShiftedChebyshevW,
  kHermiteH,
  kHermiteHe,
  kLaguerreL,
  kLegendreP,
  kMin,
  kMax,  // NaN propagates, as torch.minimum / maximum
  kFmin,
  kFmax,  // NaN loses, as torch.fmin / fmax
  kAnd,
  kOr,
  kXor,
  kShl,
  kShr,  // integers and Bool (the first three); shifts as ATen (too large: 0, or the sign)
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,  // dtype Bool; operands have one dtype (operand dtype is exprs[a].dtype)
  // ternary
  kSelect,  // a (Bool) ? b : c
  kFma,     // a * b + c
  // reductions of a over the reduced dims; imm_i unused
  kReduceSum,
  kReduceProd,
  kReduceMin,
  kReduceMax,  // min and max propagate NaN; Bool: sum is or, prod is and
  kReduceArgMin,
  kReduceArgMax,  // dtype Long: first linear index over the reduced dims; NaN wins, as ATen
};

struct Expr {
  Op op = Op::kConst;
  c10::ScalarType dtype = c10::ScalarType::Float;
  ExprId a = kNoExpr, b = kNoExpr, c = kNoExpr;  // always smaller than this expression's own id
  int64_t imm_i = 0;
  double imm_d = 0;
};

// A map from the iteration space to memory: address = buffer + (offset + dynamic + sum(index[d] * strides[d])) * itemsize.
struct Access {
  uint32_t buffer = ir::kNone;                     // compiler: BufferId. After localize(): index into the call's pointers
  c10::ScalarType dtype = c10::ScalarType::Float;  // in memory
  int64_t offset = 0;                              // elements, constant
  uint32_t dynamic = ir::kNone;  // compiler: WindowId whose run-time offset is added. After localize(): offset slot. kNone: none
  DimVector strides;             // one per dim of the loop, elements; 0 for broadcasting
};

struct Store {
  uint32_t access = 0;
  ExprId value = kNoExpr;  // point level: one element per point. Row level: stored once per row; the access's strides along
                           // reduced dims are then ignored (and should be 0)
  ExprId at = kNoExpr;     // optional Long displacement (scatter without accumulation; the last writer is unspecified)
};

struct Loop {
  std::string name;  // "fused_mul_add": for profiles and dumps
  DimVector sizes;
  uint32_t kept = 0;
  std::vector<Access> accesses;
  std::vector<Expr> exprs;
  std::vector<Store> stores;
  std::vector<ir::ScalarCategory> scalars;  // category of each scalar slot
  std::vector<ir::ScalarId> scalar_ids;     // compiler: the graph's ScalarId of each slot
  ir::ScalarId rng = ir::kNone;             // compiler: graph scalars (seed, offset). After localize(): scalar slot of the seed; +1: offset

  int64_t numel() const {
    int64_t n = 1;
    for (int64_t s : sizes) {
      n *= s;
    }
    return n;
  }
};

// One line per expression; the format of golden tests and dumps.
std::string to_string(const Loop& loop);

// Throws an internal error naming what is malformed (operand order, dtypes, access ranks, levels of stores).
void verify(const Loop& loop);

}  // namespace torch_hpu::codegen
