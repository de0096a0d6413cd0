#include "test/cpp/codegen/reference.h"

#include <ATen/native/Math.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <type_traits>

#include "csrc/codegen/op_traits.h"
#include "csrc/codegen/scalar_math.h"
#include "csrc/support/philox.h"

namespace torch_hpu::codegen {
namespace {

using S = c10::ScalarType;
thread_local ReferenceRun* current_run = nullptr;

template <class F>
auto with_integer(S t, F&& f) {
  switch (t) {
    case S::Byte:
      return f(uint8_t{});
    case S::Char:
      return f(int8_t{});
    case S::Short:
      return f(int16_t{});
    case S::Int:
      return f(int32_t{});
    default:
      return f(int64_t{});
  }
}

int64_t wrap(S t, uint64_t x) {
  return with_integer(t, [&](auto zero) { return static_cast<int64_t>(static_cast<decltype(zero)>(x)); });
}

// Float functions are evaluated in double and rounded once.
double round_to(S t, double x) {
  return t == S::Float ? static_cast<double>(static_cast<float>(x)) : x;
}

double floor_divide(double a, double b) {
  if (b == 0) {
    return a / b;
  }
  const double mod = std::fmod(a, b);
  double div = (a - mod) / b;
  if (mod != 0 && (b < 0) != (mod < 0)) {
    div -= 1;
  }
  if (div == 0) {
    return std::copysign(0.0, a / b);
  }
  double floor = std::floor(div);
  return div - floor > 0.5 ? floor + 1 : floor;
}

// Special functions are ATen's own: what is tested is that generated code calls the right one.
template <class T>
double special(Op op, S type, const std::vector<Number>& n) {
  for (const ArrayFunction& f : array_functions()) {
    if (f.op == op && f.dtype == type) {
      T x = static_cast<T>(n[0].d);
      const T y = n.size() > 1 ? static_cast<T>(n[1].d) : T{0};
      n.size() > 1 ? reinterpret_cast<void (*)(T*, const T*, int64_t)>(f.address)(&x, &y, 1)
                   : reinterpret_cast<void (*)(T*, int64_t)>(f.address)(&x, 1);
      return static_cast<double>(x);
    }
  }
  TORCH_INTERNAL_ASSERT(false, traits(op).name);
}

double float_op(Op op, S type, const std::vector<Number>& n) {
  const double x = n[0].d, y = n.size() > 1 ? n[1].d : 0, z = n.size() > 2 ? n[2].d : 0;
  const bool single = type == S::Float;
  switch (op) {
    case Op::kNeg:
      return -x;
    case Op::kAbs:
      return std::fabs(x);
    case Op::kSign:
      return (x > 0) - (x < 0);
    case Op::kExp:
      return std::exp(x);
    case Op::kExp2:
      return std::exp2(x);
    case Op::kExpm1:
      return std::expm1(x);
    case Op::kLog:
      return std::log(x);
    case Op::kLog2:
      return std::log2(x);
    case Op::kLog10:
      return std::log10(x);
    case Op::kLog1p:
      return std::log1p(x);
    case Op::kSqrt:
      return std::sqrt(x);
    case Op::kRsqrt:
      return 1 / std::sqrt(x);
    case Op::kReciprocal:
      return 1 / x;
    case Op::kSin:
      return std::sin(x);
    case Op::kCos:
      return std::cos(x);
    case Op::kTan:
      return std::tan(x);
    case Op::kAsin:
      return std::asin(x);
    case Op::kAcos:
      return std::acos(x);
    case Op::kAtan:
      return std::atan(x);
    case Op::kSinh:
      return std::sinh(x);
    case Op::kCosh:
      return std::cosh(x);
    case Op::kTanh:
      return std::tanh(x);
    case Op::kAsinh:
      return std::asinh(x);
    case Op::kAcosh:
      return std::acosh(x);
    case Op::kAtanh:
      return std::atanh(x);
    case Op::kErf:
      return std::erf(x);
    case Op::kErfc:
      return std::erfc(x);
    case Op::kErfinv:
      return single ? calc_erfinv(static_cast<float>(x)) : calc_erfinv(x);
    case Op::kLgamma:
      return std::lgamma(x);
    case Op::kDigamma:
      return single ? calc_digamma(static_cast<float>(x)) : calc_digamma(x);
    case Op::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Op::kFloor:
      return std::floor(x);
    case Op::kCeil:
      return std::ceil(x);
    case Op::kTrunc:
      return std::trunc(x);
    case Op::kRound:
      return std::nearbyint(x);
    case Op::kAdd:
      return x + y;
    case Op::kSub:
      return x - y;
    case Op::kMul:
      return x * y;
    case Op::kDiv:
      return x / y;
    case Op::kDivFloor:
      if (single) {
        // In float, step by step, as ATen does.
        const float a = static_cast<float>(x), b = static_cast<float>(y);
        if (b == 0) {
          return a / b;
        }
        const float mod = std::fmod(a, b);
        float div = (a - mod) / b;
        if (mod != 0 && (b < 0) != (mod < 0)) {
          div -= 1;
        }
        if (div == 0) {
          return std::copysign(0.0f, a / b);
        }
        float floor = std::floor(div);
        return div - floor > 0.5f ? floor + 1 : floor;
      }
      return floor_divide(x, y);
    case Op::kFmod:
      return std::fmod(x, y);
    case Op::kRemainder: {
      double r = std::fmod(x, y);
      return r != 0 && (y < 0) != (r < 0) ? r + y : r;
    }
    case Op::kPow:
      return std::pow(x, y);
    case Op::kAtan2:
      return std::atan2(x, y);
    case Op::kHypot:
      return std::hypot(x, y);
    case Op::kNextAfter:
      return single ? std::nextafter(static_cast<float>(x), static_cast<float>(y)) : std::nextafter(x, y);
    case Op::kCopySign:
      return std::copysign(x, y);
    case Op::kMin:
      return std::isnan(x) || std::isnan(y) ? std::nan("") : std::fmin(x, y);
    case Op::kMax:
      return std::isnan(x) || std::isnan(y) ? std::nan("") : std::fmax(x, y);
    case Op::kFmin:
      return std::fmin(x, y);
    case Op::kFmax:
      return std::fmax(x, y);
    case Op::kFma:
      return std::fma(x, y, z);
    default:
      return single ? special<float>(op, type, n) : special<double>(op, type, n);
  }
}

template <class T>
T int_op(Op op, const std::vector<Number>& n) {
  using U = std::make_unsigned_t<T>;
  const T x = static_cast<T>(n[0].i), y = n.size() > 1 ? static_cast<T>(n[1].i) : T{0}, z = n.size() > 2 ? static_cast<T>(n[2].i) : T{0};
  const auto u = [](T v) { return static_cast<uint64_t>(static_cast<U>(v)); };
  constexpr int bits = sizeof(T) * 8;
  switch (op) {
    case Op::kNeg:
      return static_cast<T>(0 - u(x));
    case Op::kAbs:
      return x < 0 ? static_cast<T>(0 - u(x)) : x;
    case Op::kSign:
      return static_cast<T>((x > 0) - (x < 0));
    case Op::kBitNot:
      return static_cast<T>(~u(x));
    case Op::kAdd:
      return static_cast<T>(u(x) + u(y));
    case Op::kSub:
      return static_cast<T>(u(x) - u(y));
    case Op::kMul:
      return static_cast<T>(u(x) * u(y));
    case Op::kFma:
      return static_cast<T>(u(x) * u(y) + u(z));
    case Op::kDiv:
    case Op::kDivFloor:
    case Op::kFmod:
    case Op::kRemainder: {
      if (y == 0) {
        current_run->zero_division = true;
        return 0;
      }
      const bool minus_one = std::is_signed_v<T> && y == static_cast<T>(-1);
      const T q = minus_one ? static_cast<T>(0 - u(x)) : static_cast<T>(x / y);
      const T r = minus_one ? T{0} : static_cast<T>(x % y);
      const bool lower = r != 0 && (r < 0) != (y < 0);
      return op == Op::kDiv ? q : op == Op::kFmod ? r : op == Op::kDivFloor ? static_cast<T>(q - lower) : static_cast<T>(lower ? r + y : r);
    }
    case Op::kPow: {
      if (y < 0) {
        return x == 1 ? T{1} : x == static_cast<T>(-1) ? static_cast<T>(y % 2 ? -1 : 1) : T{0};
      }
      uint64_t result = 1, base = u(x);
      for (uint64_t e = u(y); e; e >>= 1, base *= base) {
        result *= e & 1 ? base : 1;
      }
      return static_cast<T>(result);
    }
    case Op::kMin:
    case Op::kFmin:
      return std::min(x, y);
    case Op::kMax:
    case Op::kFmax:
      return std::max(x, y);
    case Op::kGcd:
      return calc_gcd(x, y);
    case Op::kAnd:
      return x & y;
    case Op::kOr:
      return x | y;
    case Op::kXor:
      return x ^ y;
    case Op::kShl:
      return y < 0 || y >= bits ? T{0} : static_cast<T>(u(x) << y);
    case Op::kShr:
      return y < 0 || y >= bits ? (x < 0 ? static_cast<T>(-1) : T{0}) : static_cast<T>(x >> y);
    default:
      TORCH_INTERNAL_ASSERT(false, traits(op).name);
  }
}

int64_t bool_op(Op op, const std::vector<Number>& n) {
  const bool x = n[0].i, y = n.size() > 1 && n[1].i;
  switch (op) {
    case Op::kBitNot:
      return !x;
    case Op::kAdd:
    case Op::kOr:
    case Op::kMax:
    case Op::kFmax:
      return x || y;
    case Op::kMul:
    case Op::kAnd:
    case Op::kMin:
    case Op::kFmin:
      return x && y;
    case Op::kXor:
      return x != y;
    default:
      TORCH_INTERNAL_ASSERT(false, traits(op).name);
  }
}

template <class T>
bool compare(Op op, T x, T y) {
  switch (op) {
    case Op::kEq:
      return x == y;
    case Op::kNe:
      return x != y;
    case Op::kLt:
      return x < y;
    case Op::kLe:
      return x <= y;
    case Op::kGt:
      return x > y;
    default:
      return x >= y;
  }
}

}  // namespace

Number apply_reference(Op op, S type, const std::vector<Number>& x) {
  Number r;
  if (op == Op::kSelect) {
    return x[0].i ? x[1] : x[2];
  }
  if (op == Op::kIsNan || op == Op::kIsInf) {
    r.i = op == Op::kIsNan ? std::isnan(x[0].d) : std::isinf(x[0].d);
  } else if (traits(op).op_class == OpClass::kCompare) {
    r.i = is_float(type) ? compare(op, x[0].d, x[1].d) : compare(op, x[0].i, x[1].i);
  } else if (is_float(type)) {
    r.d = round_to(type, float_op(op, type, x));
  } else if (type == S::Bool) {
    r.i = bool_op(op, x);
  } else {
    r.i = with_integer(type, [&](auto zero) { return static_cast<int64_t>(int_op<decltype(zero)>(op, x)); });
  }
  return r;
}

Number cast_reference(Number x, S from, S to) {
  Number r;
  if (is_float(to)) {
    if (is_float(from)) {
      r.d = round_to(to, x.d);
    } else {
      r.d = to == S::Float ? static_cast<double>(static_cast<float>(x.i)) : static_cast<double>(x.i);
    }
  } else if (to == S::Bool) {
    r.i = is_float(from) ? x.d != 0 : x.i != 0;
  } else if (is_float(from)) {
    r.i = wrap(to, static_cast<uint64_t>(static_cast<int64_t>(x.d)));
  } else {
    r.i = wrap(to, static_cast<uint64_t>(x.i));
  }
  return r;
}

Number load_reference(const std::byte* p, S memory) {
  Number r;
  const auto as = [&](auto zero) {
    std::memcpy(&zero, p, sizeof zero);
    return zero;
  };
  switch (memory) {
    case S::Float:
      r.d = as(float{});
      break;
    case S::Double:
      r.d = as(double{});
      break;
    case S::Half:
      r.d = static_cast<float>(as(c10::Half{}));
      break;
    case S::BFloat16:
      r.d = static_cast<float>(as(c10::BFloat16{}));
      break;
    case S::Bool:
      r.i = as(uint8_t{}) != 0;
      break;
    default:
      r.i = with_integer(memory, [&](auto zero) { return static_cast<int64_t>(as(zero)); });
  }
  return r;
}

void store_reference(std::byte* p, S memory, Number x) {
  const auto put = [&](auto v) { std::memcpy(p, &v, sizeof v); };
  switch (memory) {
    case S::Float:
      put(static_cast<float>(x.d));
      break;
    case S::Double:
      put(x.d);
      break;
    case S::Half:
      put(c10::Half(static_cast<float>(x.d)));
      break;
    case S::BFloat16:
      put(c10::BFloat16(static_cast<float>(x.d)));
      break;
    case S::Bool:
      put(static_cast<uint8_t>(x.i));
      break;
    default:
      with_integer(memory, [&](auto zero) {
        put(static_cast<decltype(zero)>(x.i));
        return 0;
      });
  }
}

namespace {

class Evaluator {
 public:
  Evaluator(const Loop& loop, std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars)
      : loop_(loop), pointers_(pointers), offsets_(offsets), scalars_(scalars), index_(loop.sizes.size(), 0) {}

  struct Write {
    std::byte* at;
    S memory;
    Number value;
  };
  std::vector<Write> writes;

  void run() {
    std::vector<bool> point = point_level();
    each(0, loop_.kept, [&] {
      reduced_.clear();
      for (size_t i = 0; i < loop_.exprs.size(); ++i) {
        if (is_reduce(loop_.exprs[i].op)) {
          reduced_[static_cast<ExprId>(i)] = reduce(static_cast<ExprId>(i));
        }
      }
      for (const Store& s : loop_.stores) {
        if (point[s.value] || (s.at != kNoExpr && point[s.at])) {
          each(loop_.kept, loop_.sizes.size(), [&] { write(s, loop_.sizes.size()); });
        } else {
          cache_.clear();
          write(s, loop_.kept);
        }
      }
    });
  }

 private:
  template <class F>
  void each(size_t d, size_t end, F&& f) {
    if (d == end) {
      cache_.clear();
      f();
      return;
    }
    for (index_[d] = 0; index_[d] < loop_.sizes[d]; ++index_[d]) {
      each(d + 1, end, f);
    }
    index_[d] = 0;
  }

  std::vector<bool> point_level() const {
    std::vector<bool> point;
    for (const Expr& e : loop_.exprs) {
      bool p = false;
      for (int k = 0; k < traits(e.op).operands; ++k) {
        p = p || point[operands(e)[k]];
      }
      if (e.op == Op::kLoad || e.op == Op::kLoadAt) {
        for (size_t d = loop_.kept; d < loop_.sizes.size(); ++d) {
          p = p || (loop_.accesses[e.imm_i].strides[d] != 0 && loop_.sizes[d] != 1);
        }
      }
      p = p || (e.op == Op::kIndex && e.imm_i >= loop_.kept && loop_.sizes[e.imm_i] != 1);
      point.push_back(p && !is_reduce(e.op));
    }
    return point;
  }

  std::byte* address(const Access& a, int64_t at, size_t dims) const {
    int64_t element = a.offset + at + (a.dynamic == ir::kNone ? 0 : offsets_[a.dynamic]);
    for (size_t d = 0; d < dims; ++d) {
      element += index_[d] * a.strides[d];
    }
    return pointers_[a.buffer] + element * static_cast<int64_t>(c10::elementSize(a.dtype));
  }

  void write(const Store& s, size_t dims) {
    const Access& a = loop_.accesses[s.access];
    writes.push_back({address(a, s.at == kNoExpr ? 0 : value(s.at).i, dims), a.dtype, value(s.value)});
  }

  Number reduce(ExprId id) {
    const Expr& e = loop_.exprs[id];
    const S type = loop_.exprs[e.a].dtype;
    Number sum;
    bool first = true;
    int64_t linear = 0;
    Number best;
    long double exact = e.op == Op::kReduceProd ? 1 : 0;
    if (e.op == Op::kReduceProd) {
      sum.i = 1;
    } else if (e.op == Op::kReduceMin || e.op == Op::kReduceMax) {
      const bool min = e.op == Op::kReduceMin;
      sum.d = min ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
      sum.i = type == S::Bool ? min : with_integer(type, [&](auto z) {
        using T = decltype(z);
        return static_cast<int64_t>(min ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min());
      });
    }
    each(loop_.kept, loop_.sizes.size(), [&] {
      const Number x = value(e.a);
      switch (e.op) {
        case Op::kReduceSum:
          exact += x.d;
          sum = is_float(type) ? sum : apply_reference(Op::kAdd, type, {sum, x});
          break;
        case Op::kReduceProd:
          exact *= x.d;
          sum = is_float(type) ? sum : apply_reference(Op::kMul, type, {sum, x});
          break;
        case Op::kReduceMin:
          sum = apply_reference(Op::kMin, type, {sum, x});
          break;
        case Op::kReduceMax:
          sum = apply_reference(Op::kMax, type, {sum, x});
          break;
        default: {
          const bool nan = is_float(type) && std::isnan(x.d), best_nan = is_float(type) && std::isnan(best.d);
          const bool better = apply_reference(e.op == Op::kReduceArgMax ? Op::kGt : Op::kLt, type, {x, best}).i;
          if (first || (!best_nan && (nan || better))) {
            best = x;
            sum.i = linear;
          }
        }
      }
      first = false;
      ++linear;
    });
    if (is_float(type) && (e.op == Op::kReduceSum || e.op == Op::kReduceProd)) {
      sum.d = round_to(type, static_cast<double>(exact));
    }
    return sum;
  }

  Number value(ExprId id) {
    if (const auto it = reduced_.find(id); it != reduced_.end()) {
      return it->second;
    }
    if (const auto it = cache_.find(id); it != cache_.end()) {
      return it->second;
    }
    const Number v = compute(id);
    return cache_[id] = v;
  }

  Number scalar(int64_t slot, S to) const {
    const ir::ScalarCategory c = loop_.scalars[slot];
    Number x;
    if (c == ir::ScalarCategory::kFloat || c == ir::ScalarCategory::kComplex) {
      x.d = scalars_[slot].d;
      return cast_reference(x, S::Double, to);
    }
    x.i = scalars_[slot].i;
    return cast_reference(x, S::Long, to);
  }

  Number compute(ExprId id) {
    const Expr& e = loop_.exprs[id];
    Number r;
    switch (e.op) {
      case Op::kConst:
        r.i = e.imm_i;
        r.d = e.dtype == S::Float ? static_cast<float>(e.imm_d) : e.imm_d;
        return r;
      case Op::kScalar:
        return scalar(e.imm_i, e.dtype);
      case Op::kIndex:
        r.i = index_[e.imm_i];
        return r;
      case Op::kLoad:
      case Op::kLoadAt: {
        const Access& a = loop_.accesses[e.imm_i];
        return load_reference(address(a, e.op == Op::kLoadAt ? value(e.a).i : 0, loop_.sizes.size()), a.dtype);
      }
      case Op::kCheckIndex: {
        const int64_t i = value(e.a).i;
        const bool good = i >= -e.imm_i && i < e.imm_i;
        current_run->bad_index = current_run->bad_index || !good;
        r.i = good ? (i < 0 ? i + e.imm_i : i) : 0;
        return r;
      }
      case Op::kUniform:
      case Op::kRandomBits: {
        const auto seed = static_cast<uint64_t>(scalars_[loop_.rng].i), offset = static_cast<uint64_t>(scalars_[loop_.rng + 1].i);
        const auto element = static_cast<uint64_t>(value(e.a).i);
        r.i = static_cast<int64_t>(philox_bits(seed, offset, element));
        r.d = e.dtype == S::Float ? philox_uniform_float(seed, offset, element) : philox_uniform_double(seed, offset, element);
        return r;
      }
      case Op::kCast:
        return cast_reference(value(e.a), loop_.exprs[e.a].dtype, e.dtype);
      default:
        break;
    }
    std::vector<Number> x;
    for (int k = 0; k < traits(e.op).operands; ++k) {
      x.push_back(value(operands(e)[k]));
    }
    return apply_reference(e.op, loop_.exprs[e.op == Op::kSelect ? e.b : e.a].dtype, x);
  }

  const Loop& loop_;
  std::byte* const* pointers_;
  const int64_t* offsets_;
  const ir::ScalarValue* scalars_;
  std::vector<int64_t> index_;
  std::map<ExprId, Number> reduced_, cache_;
};

}  // namespace

ReferenceRun run_reference(const Loop& loop, std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars) {
  ReferenceRun run;
  current_run = &run;
  Evaluator evaluator(loop, pointers, offsets, scalars);
  evaluator.run();
  for (const auto& w : evaluator.writes) {
    store_reference(w.at, w.memory, w.value);
  }
  current_run = nullptr;
  return run;
}

}  // namespace torch_hpu::codegen
