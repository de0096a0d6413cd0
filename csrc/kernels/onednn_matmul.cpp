// Products by oneDNN's matmul: any plain strides with one unit stride per matrix, batches that broadcast, bias and post-ops in the primitive.
// With pack_b a second primitive works on b in the layout that oneDNN likes best.
#include <ATen/Parallel.h>

#include <algorithm>
#include <mutex>

#include "csrc/kernels/matmul.h"
#include "csrc/kernels/onednn.h"
#include "csrc/kernels/rows.h"

namespace torch_hpu::kernels {
namespace {

using dnnl::memory;

// The descriptor of [batch..., rows, cols]; batch dims that a side does not have are of size 1.
memory::desc side_desc(const MatmulProblem& p, const Side& side, int64_t rows, int64_t cols, c10::ScalarType dtype) {
  ir::DimVector sizes, strides;
  for (size_t d = 0; d < p.batch.size(); ++d) {
    sizes.push_back(side.batch[d] == 0 ? 1 : p.batch[d]);
    strides.push_back(side.batch[d]);
  }
  sizes.append({side.row == 0 ? 1 : rows, side.col == 0 ? 1 : cols});
  strides.append({side.row, side.col});
  return onednn::product_desc(sizes, strides, onednn::data_type(dtype));
}

bool plain(const Side& side, int64_t rows, int64_t cols) {
  return (side.col == 1 || cols == 1 || side.row == 1 || rows == 1) && (side.col != 0 || cols == 1) && (side.row != 0 || rows == 1);
}

// A row that all rows of out share.
bool is_row(const MatmulProblem& p, const MatmulProblem::Extra& e) {
  return e.kind == PostOp::Kind::kAdd && e.side.row == 0 && e.side.col == 1 && p.n > 1 &&
         std::all_of(e.side.batch.begin(), e.side.batch.end(), [](int64_t s) { return s == 0; });
}

// See onednn_reads_extras.
bool reads(const MatmulProblem& p, const MatmulProblem::Extra& e) {
  const auto moves = [](int64_t size, int64_t stride) { return size != 1 && stride != 0; };
  bool whole = true;     // it moves along all dims of out
  bool as_out = true;    // its strides are those of out
  bool dense = true;     // its values lie side by side
  bool batches = false;  // it moves along a batch dim
  int64_t next = 1;
  const auto look = [&](int64_t size, int64_t stride, int64_t stride_of_out) {
    if (size != 1) {
      whole = whole && stride != 0;
      as_out = as_out && stride == stride_of_out;
      dense = dense && (stride == 0 || stride == next);
      next *= stride == 0 ? 1 : size;
    }
  };
  look(p.n, e.side.col, p.out.col);
  look(p.m, e.side.row, p.out.row);
  for (size_t d = p.batch.size(); d-- > 0;) {
    look(p.batch[d], e.side.batch[d], p.out.batch[d]);
    batches = batches || moves(p.batch[d], e.side.batch[d]);
  }
  return whole ? as_out : dense && !moves(p.m, e.side.row) && (!batches || moves(p.n, e.side.col));
}

class OnednnMatmul final : public MatmulKernel {
 public:
  OnednnMatmul(const MatmulProblem& p, bool pack_b)
      : p_(p), relu_(take_relu(p_)), b_(side_desc(p, p.b, p.k, p.n, p.dtype)), description_(describe(b_)) {
    if (pack_b) {
      const memory::desc any(b_.get_dims(), onednn::data_type(p.dtype), memory::format_tag::any);
      const memory::desc best = describe(any).pd.weights_desc();
      if (best != b_) {
        packed_b_ = best;
      }
    }
  }

  bool prepare() const override {
    try {
      plain();
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }

  void run(const MatmulPointers& pointers) const override {
    const bool packed = pointers.packed_b != nullptr;
    if (packed) {
      std::call_once(packed_once_, [&] { packed_ = build(describe(packed_b_)); });
    }
    c10::SmallVector<const void*, 8> addresses{pointers.a, packed ? pointers.packed_b : pointers.b, pointers.out};
    addresses.append(pointers.extras.begin(), pointers.extras.end());
    (packed ? *packed_ : plain()).run(addresses);
    if (relu_) {
      relu(static_cast<float*>(pointers.out));
    }
  }

  const char* implementation() const {  // of the plain primitive
    return description_.pd.impl_info_str();
  }

  const char* name() const override {
    return packed_bytes() > 0 ? "onednn packed" : "onednn";
  }

  size_t packed_bytes() const override {
    return packed_b_.is_zero() ? 0 : packed_b_.get_size();
  }

  void pack(const void* b, void* packed) const override {
    onednn::Reorder(b_, packed_b_).run(b, packed);
  }

 private:
  struct Description {
    dnnl::matmul::primitive_desc pd;
    std::vector<onednn::Primitive::Argument> arguments;  // in the order of run()
  };

  // A relu at the end of float extras is done here, see append_post_op.
  static bool take_relu(MatmulProblem& p) {
    const bool relu = !p.extras.empty() && p.extras.back().kind == PostOp::Kind::kRelu && p.dtype == c10::ScalarType::Float;
    if (relu) {
      p.extras.pop_back();
    }
    return relu;
  }

  void relu(float* out) const {
    at::parallel_for(0, p_.batches() * p_.m, std::max<int64_t>(1, 32768 / p_.n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        relu_row(out + batch_offset(p_.out, batch_at(p_, i / p_.m)) + i % p_.m * p_.out.row, p_.n);
      }
    });
  }

  Description describe(const memory::desc& b) const {
    std::vector<onednn::Primitive::Argument> arguments{{DNNL_ARG_SRC, side_desc(p_, p_.a, p_.m, p_.k, p_.dtype)},
                                                       {DNNL_ARG_WEIGHTS, b},
                                                       {DNNL_ARG_DST, side_desc(p_, p_.out, p_.m, p_.n, p_.dtype)}};
    dnnl::post_ops ops;
    memory::desc bias;
    if (p_.accumulate) {
      ops.append_sum(1);
    }
    for (size_t i = 0; i < p_.extras.size(); ++i) {
      const MatmulProblem::Extra& e = p_.extras[i];
      memory::desc operand;
      if (e.tensor) {
        operand = side_desc(p_, e.side, p_.m, p_.n, e.dtype);
        if (i == 0 && is_row(p_, e) && !p_.accumulate) {
          bias = operand;
          arguments.push_back({DNNL_ARG_BIAS, operand});
          continue;
        }
        arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(ops.len()) | DNNL_ARG_SRC_1, operand});
      }
      PostOp post_op;
      post_op.kind = e.kind;
      post_op.value = e.value;
      TORCH_INTERNAL_ASSERT(onednn::append_post_op(ops, post_op, e.tensor ? &operand : nullptr));
    }
    const auto attr = onednn::attributes(ops);
    const memory::desc &a = arguments[0].desc, &out = arguments[2].desc;
    auto pd = bias.is_zero() ? dnnl::matmul::primitive_desc(onednn::engine(), a, b, out, attr)
                             : dnnl::matmul::primitive_desc(onednn::engine(), a, b, bias, out, attr);
    return {std::move(pd), std::move(arguments)};
  }

  const onednn::Primitive& plain() const {
    std::call_once(plain_once_, [&] { plain_ = build(description_); });
    return *plain_;
  }

  static std::unique_ptr<onednn::Primitive> build(const Description& d) {
    return std::make_unique<onednn::Primitive>(dnnl::matmul(d.pd), d.arguments, d.pd.scratchpad_desc());
  }

  MatmulProblem p_;
  bool relu_;
  memory::desc b_;
  Description description_;  // of the product with b as it lies
  memory::desc packed_b_;    // zero: nothing better than b as it lies
  // Primitives are generated code, made when they are needed: the packed one when the first packed copy is there.
  mutable std::once_flag plain_once_, packed_once_;
  mutable std::unique_ptr<onednn::Primitive> plain_, packed_;
};

}  // namespace

bool onednn_reads_extras(const MatmulProblem& p) {
  return std::all_of(p.extras.begin(), p.extras.end(), [&](const MatmulProblem::Extra& e) { return !e.tensor || reads(p, e); });
}

std::unique_ptr<MatmulKernel> make_onednn_matmul(const MatmulProblem& p, bool pack_b) {
  if (!onednn::has_dtype(p.dtype) || !plain(p.a, p.m, p.k) || !plain(p.b, p.k, p.n) || p.batch.size() > 4 || !onednn_reads_extras(p)) {
    return nullptr;
  }
  for (const MatmulProblem::Extra& e : p.extras) {
    if (e.tensor && !onednn::has_dtype(e.dtype)) {
      return nullptr;
    }
  }
  try {
    auto kernel = std::make_unique<OnednnMatmul>(p, pack_b);
    if (onednn::is_reference(kernel->implementation())) {
      return nullptr;
    }
    // Generating the kernels of oneDNN's sgemm takes some 30 ms of a process; the one of the BLAS is there. But batches it does one by one.
    const bool left_to_blas = onednn::uses_sgemm(kernel->implementation()) && p.batch.empty() && make_blas_matmul(p) != nullptr;
    return left_to_blas ? nullptr : std::move(kernel);
  } catch (const dnnl::error&) {
    return nullptr;  // no implementation on this machine
  }
}

}  // namespace torch_hpu::kernels
