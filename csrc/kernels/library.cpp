// The table of primitives, and what can be said of every call alike.
#include "csrc/kernels/library.h"

#include <c10/util/Exception.h>

#include <array>
#include <sstream>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {
namespace {

// By Primitive.
constexpr std::array<PrimitiveRow, 18> kRows{{
    {"matmul", matmul_supported, make_matmul, matmul_can_fuse},
    {"sibling_matmuls", sibling_matmuls_supported, make_sibling_matmuls, nullptr},
    {"convolution", convolution_supported, make_convolution, convolution_can_fuse},
    {"convolution_backward_input", convolution_supported, make_convolution, nullptr},
    {"convolution_backward_weight", convolution_supported, make_convolution, nullptr},
    {"attention", attention_supported, make_attention, nullptr, true},
    {"attention_backward", attention_supported, make_attention_backward, nullptr, true},
    {"max_pool", pool_supported, make_max_pool, nullptr, true},
    {"max_pool_backward", pool_supported, make_max_pool, nullptr},
    {"avg_pool", pool_supported, make_avg_pool, nullptr},
    {"avg_pool_backward", pool_supported, make_avg_pool, nullptr},
    {"adaptive_avg_pool", pool_supported, make_avg_pool, nullptr},
    {"adaptive_avg_pool_backward", pool_supported, make_avg_pool, nullptr},
    {"resample", resample_supported, make_resample, nullptr},
    {"embedding_backward", embedding_backward_supported, make_embedding_backward, nullptr},
    {"scatter", scatter_supported, make_scatter, nullptr},
    {"index_put", index_put_supported, make_index_put, nullptr},
    {"scan", scan_supported, make_scan, nullptr, true},
}};

const PrimitiveRow& row(Primitive primitive) {
  return kRows[static_cast<size_t>(primitive)];
}

constexpr std::array<const char*, 9> kPostOpNames{"relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "scale", "add", "mul"};

const char* post_op_name(PostOp::Kind kind) {
  return kPostOpNames[static_cast<size_t>(kind)];
}

void print(std::ostream& out, const Operand& o) {
  if (!present(o)) {
    out << "none";
    return;
  }
  out << 'b' << o.buffer << ':' << c10::toString(o.dtype) << c10::IntArrayRef(o.sizes) << '/' << c10::IntArrayRef(o.strides);
  if (o.offset != 0) {
    out << '+' << o.offset;
  }
  if (o.dynamic != ir::kNone) {
    out << "+w" << o.dynamic;
  }
}

template <typename List, typename F>
void join(std::ostream& out, const List& list, F print_one) {
  for (size_t i = 0; i < list.size(); ++i) {
    out << (i == 0 ? "" : ", ");
    print_one(list[i]);
  }
}

}  // namespace

LibraryStep::LibraryStep(const LibraryCall& call) : name_(kernels::name(call.primitive)) {
  for (const PostOp& p : call.post_ops) {
    name_ += std::string("_") + post_op_name(p.kind);
  }
}

bool dense(const Operand& o) {
  int64_t next = 1;
  for (size_t d = o.sizes.size(); d-- > 0;) {
    if (o.sizes[d] == 1 || o.strides[d] == 0) {
      continue;
    }
    if (o.strides[d] != next) {
      return false;
    }
    next *= o.sizes[d];
  }
  return true;
}

const char* name(Primitive primitive) {
  return row(primitive).name;
}

std::string to_string(const LibraryCall& call) {
  std::ostringstream out;
  join(out, call.writes, [&](const Operand& o) { print(out, o); });
  out << " = " << name(call.primitive) << '(';
  join(out, call.reads, [&](const Operand& o) { print(out, o); });
  out << ')';
  auto list = [&](const char* what, const auto& values) {
    if (!values.empty()) {
      out << ' ' << what << '[';
      join(out, values, [&](const auto& v) { out << v; });
      out << ']';
    }
  };
  list("ints", call.ints);
  list("floats", call.floats);
  if (!call.scalars.empty()) {
    out << " scalars[";
    join(out, call.scalars, [&](ir::ScalarId s) { s == ir::kNone ? out << '1' : out << '$' << s; });
    out << ']';
  }
  for (const PostOp& p : call.post_ops) {
    out << " | " << post_op_name(p.kind);
    if (p.kind == PostOp::Kind::kScale) {
      out << ' ' << p.value;
    } else if (p.kind == PostOp::Kind::kAdd || p.kind == PostOp::Kind::kMul) {
      out << ' ' << "read " << p.operand;
    }
  }
  return out.str();
}

bool optional_write(Primitive primitive, size_t i) {
  return i > 0 && row(primitive).optional_writes;
}

bool supported(const LibraryCall& call) {
  return row(call.primitive).supported(call);
}

bool can_fuse(const LibraryCall& call, const PostOp& post_op, const Operand& operand) {
  const auto f = row(call.primitive).can_fuse;
  return f != nullptr && f(call, post_op, operand);
}

std::unique_ptr<Step> make_step(const LibraryCall& call, const std::vector<bool>& constant_reads) {
  return row(call.primitive).make(call, constant_reads);
}

}  // namespace torch_hpu::kernels
