// Matrix products in canonical form: batch dims merged as far as they go, rows of out contiguous where either order of a and b allows it.
#include <algorithm>

#include "csrc/kernels/matmul.h"

namespace torch_hpu::kernels {
namespace {

size_t rank_of(const LibraryCall& call) {
  return call.writes[0].sizes.size();
}

// An operand as [batch..., rows, cols] of the rank of out: leading dims added, dims of size 1 with stride 0 where out is larger.
Side side_of(const Operand& o, const ir::DimVector& out_sizes, bool broadcast_matrix) {
  const size_t rank = out_sizes.size(), missing = rank - o.sizes.size();
  Side s;
  auto stride = [&](size_t d) {
    const bool broadcast = d < missing || (o.sizes[d - missing] == 1 && (d + 2 < rank || broadcast_matrix));
    return broadcast ? 0 : o.strides[d - missing];
  };
  for (size_t d = 0; d + 2 < rank; ++d) {
    s.batch.push_back(stride(d));
  }
  s.row = stride(rank - 2);
  s.col = stride(rank - 1);
  return s;
}

std::vector<Side*> sides_of(MatmulProblem& p) {
  std::vector<Side*> sides{&p.a, &p.b, &p.out};
  for (MatmulProblem::Extra& e : p.extras) {
    if (e.tensor) {
      sides.push_back(&e.side);
    }
  }
  return sides;
}

// Drops batch dims of size 1 and merges neighbours that all sides walk as one.
void merge_batches(MatmulProblem& p) {
  const auto sides = sides_of(p);
  auto erase = [&](size_t d) {
    p.batch.erase(p.batch.begin() + static_cast<int64_t>(d));
    for (Side* s : sides) {
      s->batch.erase(s->batch.begin() + static_cast<int64_t>(d));
    }
  };
  for (size_t d = p.batch.size(); d-- > 0;) {
    if (p.batch[d] == 1) {
      erase(d);
    }
  }
  for (size_t d = p.batch.size(); d-- > 1;) {
    if (std::all_of(sides.begin(), sides.end(), [&](const Side* s) { return s->batch[d - 1] == s->batch[d] * p.batch[d]; })) {
      const int64_t outer = p.batch[d - 1];
      erase(d - 1);
      p.batch[d - 1] *= outer;
    }
  }
}

// One b for all batches: the batches are more rows.
void fold_batches_into_rows(MatmulProblem& p) {
  while (!p.batch.empty() && p.b.batch.back() == 0) {
    const auto sides = sides_of(p);
    const bool fits =
        std::all_of(sides.begin(), sides.end(), [&](const Side* s) { return s == &p.b || p.m == 1 || s->batch.back() == s->row * p.m; });
    if (!fits) {
      return;
    }
    for (Side* s : sides) {
      if (s != &p.b && p.m == 1) {
        s->row = s->batch.back();
      }
      s->batch.pop_back();
    }
    p.m *= p.batch.back();
    p.batch.pop_back();
  }
}

void transpose(MatmulProblem& p) {
  std::swap(p.a, p.b);
  std::swap(p.m, p.n);
  for (Side* s : sides_of(p)) {
    std::swap(s->row, s->col);
  }
}

}  // namespace

CanonicalMatmul canonical(const LibraryCall& call) {
  CanonicalMatmul c;
  MatmulProblem& p = c.problem;
  const Operand &a = call.reads[0], &b = call.reads[1], &out = call.writes[0];
  const size_t rank = rank_of(call);
  p.dtype = out.dtype;
  p.batch.assign(out.sizes.begin(), out.sizes.end() - 2);
  p.m = out.sizes[rank - 2];
  p.n = out.sizes[rank - 1];
  p.k = a.sizes.back();
  p.a = side_of(a, out.sizes, false);
  p.b = side_of(b, out.sizes, false);
  p.out = side_of(out, out.sizes, false);
  p.accumulate = !call.ints.empty() && call.ints[0] != 0;
  if (present(call.reads[2])) {
    p.extras.push_back({PostOp::Kind::kAdd, 1, true, call.reads[2].dtype, side_of(call.reads[2], out.sizes, true)});
  }
  for (const PostOp& post_op : call.post_ops) {
    MatmulProblem::Extra e;
    e.kind = post_op.kind;
    e.value = post_op.value;
    e.tensor = post_op.kind == PostOp::Kind::kAdd || post_op.kind == PostOp::Kind::kMul;
    if (e.tensor) {
      e.dtype = call.reads[post_op.operand].dtype;
      e.side = side_of(call.reads[post_op.operand], out.sizes, true);
    }
    p.extras.push_back(e);
  }
  merge_batches(p);
  fold_batches_into_rows(p);
  if ((p.n == 1 && p.m > 1) || (p.out.col != 1 && p.n > 1 && (p.out.row == 1 || p.m == 1))) {
    transpose(p);
    c.transposed = true;
    fold_batches_into_rows(p);
  }
  if (p.n == 1) {
    p.out.col = 1;
  }
  return c;
}

int64_t MatmulProblem::batches() const {
  int64_t n = 1;
  for (int64_t b : batch) {
    n *= b;
  }
  return n;
}

std::string MatmulProblem::key() const {
  std::string text;
  auto add = [&](int64_t v) { text.append(reinterpret_cast<const char*>(&v), sizeof v); };
  auto add_side = [&](const Side& s) {
    for (int64_t v : s.batch) {
      add(v);
    }
    add(s.row);
    add(s.col);
  };
  for (int64_t v : {static_cast<int64_t>(dtype), m, n, k, static_cast<int64_t>(accumulate), static_cast<int64_t>(batch.size()),
                    static_cast<int64_t>(extras.size())}) {
    add(v);
  }
  for (int64_t v : batch) {
    add(v);
  }
  add_side(a);
  add_side(b);
  add_side(out);
  for (const Extra& e : extras) {
    add(static_cast<int64_t>(e.kind) << 16 | static_cast<int64_t>(e.dtype) << 1 | static_cast<int64_t>(e.tensor));
    text.append(reinterpret_cast<const char*>(&e.value), sizeof e.value);
    if (e.tensor) {
      add_side(e.side);
    }
  }
  return text;
}

}  // namespace torch_hpu::kernels
