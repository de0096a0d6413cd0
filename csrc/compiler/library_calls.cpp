#include "csrc/compiler/library_calls.h"

#include <c10/util/strides.h>

#include "csrc/compiler/access.h"
#include "csrc/compiler/loop_builder.h"
#include "csrc/kernels/step.h"

namespace torch_hpu::compiler {

using c10::ScalarType;
using kernels::Operand;

namespace {

template <typename F>
bool any_read_window(const LoweringContext& c, F f) {
  for (const ir::Arg& arg : c.node.args) {
    if (arg.kind == ir::Arg::Kind::kWindow && f(c.graph.windows[arg.index])) {
      return true;
    }
    if (arg.kind == ir::Arg::Kind::kWindowList) {
      for (uint32_t k = 0; k < arg.count; ++k) {
        const ir::WindowId id = c.graph.list_items[arg.index + k];
        if (id != ir::kNone && f(c.graph.windows[id])) {
          return true;
        }
      }
    }
  }
  return false;
}

}  // namespace

CallBuilder::CallBuilder(LoweringContext& context, kernels::Primitive primitive)
    : context_(context), buffers_(context.program.buffers.size()) {
  call.primitive = primitive;
  call.op = std::string_view(context.node.op->name).substr(6);  // without "aten::"
}

CallBuilder::~CallBuilder() {
  if (!committed_) {
    context_.program.buffers.resize(buffers_);
  }
}

Operand CallBuilder::operand(ir::WindowId id) const {
  const ir::Window& w = context_.graph.windows[id];
  Operand o;
  o.buffer = w.buffer;
  o.dtype = w.dtype;
  o.sizes = w.sizes;
  o.strides = w.strides;
  if (context_.graph.buffers[w.buffer].kind == ir::BufferKind::kInput) {
    o.dynamic = id;
  } else {
    o.offset = w.offset;
  }
  return o;
}

Operand CallBuilder::argument(size_t i) const {
  const ir::Arg& arg = context_.node.args[i];
  return arg.kind == ir::Arg::Kind::kWindow ? operand(arg.index) : Operand{};
}

bool CallBuilder::reads(ir::BufferId buffer) const {
  return any_read_window(context_, [&](const ir::Window& w) { return w.buffer == buffer; });
}

Operand CallBuilder::temporary(const ir::DimVector& sizes, ScalarType dtype) {
  Operand o;
  o.dtype = dtype;
  o.sizes = sizes;
  const auto strides = c10::contiguous_strides(sizes);
  o.strides.assign(strides.begin(), strides.end());
  o.buffer = context_.program.add_temporary(c10::multiply_integers(sizes) * static_cast<int64_t>(c10::elementSize(dtype)));
  return o;
}

Operand CallBuilder::destination(size_t i, ScalarType dtype, bool (*suits)(const Operand&)) {
  if (i >= context_.node.writes.size() || context_.node.writes[i] == ir::kNone) {
    return {};
  }
  const Operand o = operand(context_.node.writes[i]);
  if (o.dtype == dtype && !reads(o.buffer) && (suits == nullptr || suits(o))) {
    return o;
  }
  const Operand t = temporary(o.sizes, dtype);
  after_.push_back(copy(t, o));
  return t;
}

Operand CallBuilder::dense(const Operand& o, std::optional<ScalarType> dtype) {
  const Operand t = temporary(o.sizes, dtype.value_or(o.dtype));
  before_.push_back(copy(o, t));
  return t;
}

Operand CallBuilder::scaled(const Operand& o, ir::ScalarId scalar) {
  const Operand t = temporary(o.sizes, o.dtype);
  before_.push_back(copy(o, t, scalar));
  return t;
}

Operand CallBuilder::number(ir::ScalarId scalar, ScalarType dtype) {
  const Operand t = temporary({1}, dtype);
  before_.push_back(copy({}, t, scalar));
  return t;
}

void CallBuilder::fill(const Operand& from, const Operand& to) {
  before_.push_back(copy(from, to));
}

// to = from, from * factor, or factor.
Item CallBuilder::copy(const Operand& from, const Operand& to, ir::ScalarId factor) const {
  Item item;
  item.node = context_.node_index;
  codegen::Loop& loop = item.loop;
  loop.name = factor == ir::kNone ? "copy" : "scale";
  loop.sizes = to.sizes;
  loop.kept = static_cast<uint32_t>(to.sizes.size());
  auto access = [&](const Operand& o) {
    codegen::Access a = access_of(o);
    for (size_t d = 0; d < a.strides.size(); ++d) {
      a.strides[d] = o.sizes[d] == 1 ? 0 : a.strides[d];
    }
    loop.accesses.push_back(a);
    return static_cast<int64_t>(loop.accesses.size() - 1);
  };
  auto push = [&](codegen::Op op, ScalarType dtype, codegen::ExprId a = codegen::kNoExpr, codegen::ExprId b = codegen::kNoExpr) {
    codegen::Expr e;
    e.op = op;
    e.dtype = dtype;
    e.a = a;
    e.b = b;
    loop.exprs.push_back(e);
    return static_cast<codegen::ExprId>(loop.exprs.size() - 1);
  };
  const ScalarType out = compute_dtype(to.dtype), in = kernels::present(from) ? compute_dtype(from.dtype) : out;
  codegen::ExprId value = codegen::kNoExpr;
  if (factor != ir::kNone) {
    loop.scalars.push_back(context_.graph.scalars[factor].category);
    loop.scalar_ids.push_back(factor);
    value = push(codegen::Op::kScalar, in);
  }
  if (kernels::present(from)) {
    const codegen::ExprId load = push(codegen::Op::kLoad, in);
    loop.exprs.back().imm_i = access(from);
    value = factor == ir::kNone ? load : push(codegen::Op::kMul, in, load, value);
  }
  if (in != out) {
    value = push(codegen::Op::kCast, out, value);
  }
  codegen::Store store;
  store.access = static_cast<uint32_t>(access(to));
  store.value = value;
  loop.stores.push_back(store);
  return item;
}

bool CallBuilder::commit() {
  if (!kernels::supported(call)) {
    return false;
  }
  committed_ = true;
  auto& items = context_.program.items;
  items.insert(items.end(), before_.begin(), before_.end());
  Item item;
  item.kind = Item::Kind::kLibrary;
  item.call = std::move(call);
  item.node = context_.node_index;
  items.push_back(std::move(item));
  items.insert(items.end(), after_.begin(), after_.end());
  return true;
}

bool is_tensor(const LoweringContext& c, size_t i) {
  return c.node.args[i].kind == ir::Arg::Kind::kWindow;
}

bool plain_windows(const LoweringContext& c) {
  auto odd = [](const ir::Window& w) { return w.conj || w.neg || c10::isComplexType(w.dtype); };
  if (any_read_window(c, odd)) {
    return false;
  }
  for (ir::WindowId w : c.node.writes) {
    if (w != ir::kNone && odd(c.graph.windows[w])) {
      return false;
    }
  }
  return true;
}

std::vector<int64_t> int_list(const LoweringContext& c, size_t i, size_t n, const std::vector<int64_t>& otherwise) {
  const ir::Arg& arg = c.node.args[i];
  std::vector<int64_t> v = arg.is_none()       ? std::vector<int64_t>{}
                           : arg.value.isInt() ? std::vector<int64_t>{arg.value.toInt()}
                                               : arg.value.toIntVector();
  if (v.empty()) {
    return otherwise;
  }
  if (v.size() == 1) {
    v.resize(n, v[0]);
  }
  return v;
}

}  // namespace torch_hpu::compiler
