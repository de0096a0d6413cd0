// Brings the iteration space into its simplest form: coordinates become affine expressions, dims of size one go, dims are
// sorted by the strides of what they touch, neighbours that every access walks as one dim are merged.
#include <c10/util/Exception.h>

#include <algorithm>

#include "csrc/codegen/plan.h"

namespace torch_hpu::codegen {
namespace {

// Marks every Long expression built from coordinates and constants by +, - and * constant.
void find_affine(Plan& plan) {
  const Loop& loop = plan.loop;
  const size_t rank = loop.sizes.size();
  std::vector<Affine> found(loop.exprs.size());
  std::vector<bool> is(loop.exprs.size(), false);
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    const Expr& e = loop.exprs[i];
    if (e.dtype != c10::ScalarType::Long) {
      continue;
    }
    Affine& f = found[i];
    f.coefs.assign(rank, 0);
    // Wraps like the arithmetic it stands for.
    const auto combine = [&](const Affine& x, uint64_t kx, const Affine& y, uint64_t ky) {
      f.constant = static_cast<int64_t>(x.constant * kx + y.constant * ky);
      for (size_t d = 0; d < rank; ++d) {
        f.coefs[d] = static_cast<int64_t>(x.coefs[d] * kx + y.coefs[d] * ky);
      }
    };
    const auto is_constant = [&](ExprId x) {
      return is[x] && std::all_of(found[x].coefs.begin(), found[x].coefs.end(), [](int64_t c) { return c == 0; });
    };
    switch (e.op) {
      case Op::kConst:
        f.constant = e.imm_i;
        is[i] = true;
        break;
      case Op::kIndex:
        f.coefs[e.imm_i] = 1;
        is[i] = true;
        break;
      case Op::kAdd:
      case Op::kSub:
        if (is[e.a] && is[e.b]) {
          combine(found[e.a], 1, found[e.b], e.op == Op::kAdd ? 1 : ~uint64_t{0});
          is[i] = true;
        }
        break;
      case Op::kMul:
        if (is[e.a] && is[e.b] && (is_constant(e.a) || is_constant(e.b))) {
          const auto [k, x] = is_constant(e.a) ? std::pair(e.a, e.b) : std::pair(e.b, e.a);
          combine(found[x], static_cast<uint64_t>(found[k].constant), found[x], 0);
          is[i] = true;
        }
        break;
      default:
        break;
    }
  }
  // Only those that something else than an affine expression uses are ever evaluated.
  std::vector<bool> used(loop.exprs.size(), false);
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    if (!is[i]) {
      for (int k = 0; k < traits(loop.exprs[i].op).operands; ++k) {
        used[operands(loop.exprs[i])[k]] = true;
      }
    }
  }
  for (const Store& s : loop.stores) {
    used[s.value] = true;
    if (s.at != kNoExpr) {
      used[s.at] = true;
    }
  }
  plan.affine_of.assign(loop.exprs.size(), -1);
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    if (is[i] && used[i] && loop.exprs[i].op != Op::kConst) {
      plan.affine_of[i] = static_cast<int>(plan.affines.size());
      plan.affines.push_back(std::move(found[i]));
    }
  }
}

// Rows are stored once: what a row store's access says about the reduced dims must neither vote nor forbid a merge.
void clear_row_strides(Loop& loop) {
  const size_t rank = loop.sizes.size();
  std::vector<bool> point;
  const auto moves = [&](const DimVector& strides) {
    for (size_t d = loop.kept; d < rank; ++d) {
      if (strides[d] != 0 && loop.sizes[d] != 1) {
        return true;
      }
    }
    return false;
  };
  for (const Expr& e : loop.exprs) {
    bool p = false;
    for (int k = 0; k < traits(e.op).operands; ++k) {
      p = p || point[operands(e)[k]];
    }
    p = p || (is_load(e.op) && moves(loop.accesses[e.imm_i].strides));
    p = p || (e.op == Op::kIndex && e.imm_i >= loop.kept && loop.sizes[e.imm_i] != 1);
    point.push_back(p && !is_reduce(e.op));
  }
  for (Store& s : loop.stores) {
    if (!point[s.value] && (s.at == kNoExpr || !point[s.at]) && moves(loop.accesses[s.access].strides)) {
      Access row = loop.accesses[s.access];
      std::fill(row.strides.begin() + loop.kept, row.strides.end(), 0);
      s.access = static_cast<uint32_t>(loop.accesses.size());
      loop.accesses.push_back(std::move(row));
    }
  }
}

// Accesses that nothing uses would vote, too.
void drop_unused_accesses(Loop& loop) {
  std::vector<int64_t> number(loop.accesses.size(), -1);
  std::vector<Access> used;
  const auto use = [&](int64_t access) {
    if (number[access] < 0) {
      number[access] = static_cast<int64_t>(used.size());
      used.push_back(loop.accesses[access]);
    }
    return number[access];
  };
  for (Expr& e : loop.exprs) {
    if (is_load(e.op)) {
      e.imm_i = use(e.imm_i);
    }
  }
  for (Store& s : loop.stores) {
    s.access = static_cast<uint32_t>(use(s.access));
  }
  loop.accesses = std::move(used);
}

// Everything with one number per dim, to be permuted, dropped and merged together.
template <class F>
void for_each_map(Plan& plan, F&& f) {
  for (Access& a : plan.loop.accesses) {
    f(a.strides);
  }
  for (Affine& a : plan.affines) {
    f(a.coefs);
  }
  f(plan.linear);
}

void erase_dim(Plan& plan, int d) {
  for_each_map(plan, [&](DimVector& v) { v.erase(v.begin() + d); });
  plan.loop.sizes.erase(plan.loop.sizes.begin() + d);
  plan.loop.kept -= d < plan.kept() ? 1 : 0;
}

void swap_dims(Plan& plan, int d, int e) {
  for_each_map(plan, [&](DimVector& v) { std::swap(v[d], v[e]); });
  std::swap(plan.loop.sizes[d], plan.loop.sizes[e]);
}

// Whether dim e should be outside of dim d: most bytes that move along both move further along e.
bool belongs_outside(const Plan& plan, int e, int d) {
  int64_t votes = 0;
  for (const Access& a : plan.loop.accesses) {
    const int64_t se = std::abs(a.strides[e]), sd = std::abs(a.strides[d]);
    if (se != 0 && sd != 0 && se != sd) {
      votes += (se > sd ? 1 : -1) * static_cast<int64_t>(c10::elementSize(a.dtype));
    }
  }
  for (const Store& s : plan.loop.stores) {  // a store costs twice a load
    const Access& a = plan.loop.accesses[s.access];
    const int64_t se = std::abs(a.strides[e]), sd = std::abs(a.strides[d]);
    if (se != 0 && sd != 0 && se != sd) {
      votes += (se > sd ? 1 : -1) * static_cast<int64_t>(c10::elementSize(a.dtype));
    }
  }
  return votes > 0;
}

void sort_dims(Plan& plan, int begin, int end) {
  for (int i = begin + 1; i < end; ++i) {
    for (int j = i; j > begin && belongs_outside(plan, j, j - 1); --j) {
      swap_dims(plan, j, j - 1);
    }
  }
}

void merge_dims(Plan& plan, int begin, int end) {
  for (int d = end - 2; d >= begin; --d) {
    bool mergeable = true;
    for_each_map(plan, [&](const DimVector& v) { mergeable = mergeable && v[d] == v[d + 1] * plan.loop.sizes[d + 1]; });
    if (mergeable) {
      plan.loop.sizes[d + 1] *= plan.loop.sizes[d];
      erase_dim(plan, d);
    }
  }
}

bool is_flat(const Loop& loop) {
  if (loop.sizes.size() != 1 || loop.kept != 1 || loop.sizes[0] <= 1) {
    return false;
  }
  for (const Store& s : loop.stores) {
    if (s.at != kNoExpr || loop.accesses[s.access].strides[0] != 1) {
      return false;
    }
  }
  return std::all_of(loop.accesses.begin(), loop.accesses.end(), [](const Access& a) { return a.strides[0] == 0 || a.strides[0] == 1; });
}

}  // namespace

Plan normalise(const Loop& loop) {
  Plan plan;
  plan.loop = loop;
  clear_row_strides(plan.loop);
  drop_unused_accesses(plan.loop);
  find_affine(plan);
  plan.linear.assign(loop.sizes.size(), 0);
  if (std::any_of(loop.exprs.begin(), loop.exprs.end(), [](const Expr& e) { return is_arg_reduce(e.op); })) {
    int64_t step = 1;
    for (int d = plan.rank() - 1; d >= plan.kept(); --d) {
      plan.linear[d] = step;
      step *= loop.sizes[d];
    }
  }
  for (int d = plan.rank() - 1; d >= 0; --d) {
    if (plan.loop.sizes[d] == 1) {
      erase_dim(plan, d);
    }
  }
  sort_dims(plan, 0, plan.kept());
  sort_dims(plan, plan.kept(), plan.rank());
  merge_dims(plan, plan.kept(), plan.rank());
  merge_dims(plan, 0, plan.kept());
  if (plan.rank() == 0) {  // a single point: one kept dim of size one
    for_each_map(plan, [](DimVector& v) { v.push_back(0); });
    plan.loop.sizes.push_back(1);
    plan.loop.kept = 1;
  }
  plan.flat = is_flat(plan.loop);
  return plan;
}

}  // namespace torch_hpu::codegen
