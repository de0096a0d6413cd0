#include "csrc/compiler/passes/siblings.h"

#include <c10/util/strides.h>

#include <algorithm>
#include <map>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"
#include "csrc/compiler/uses.h"
#include "csrc/kernels/step.h"

namespace torch_hpu::compiler {
namespace {

using codegen::DimVector;
using kernels::LibraryCall;
using kernels::Operand;
using kernels::Primitive;

// How many times wider than the shared operand the results together may be: they are all made where the first one was.
constexpr int64_t kWidest = 4;

// A map over memory: where it starts and how far it moves along each dim, in elements.
struct Map {
  int64_t offset = 0;
  DimVector strides;
};

// The columns that a matrix gets in a wider one.
struct Block {
  int64_t columns, first, pitch;

  // A map over the dense matrix, in the wider one. Nothing when it moves from one row to the next otherwise than by whole rows.
  std::optional<Map> place(int64_t offset, const DimVector& sizes, const DimVector& strides) const {
    int64_t low = offset % columns, high = low;
    Map to{offset / columns * pitch + low + first, strides};
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (strides[d] % columns == 0) {
        to.strides[d] = strides[d] / columns * pitch;
      } else {
        (strides[d] > 0 ? high : low) += (sizes[d] - 1) * strides[d];
      }
    }
    return low >= 0 && high < columns ? std::optional(to) : std::nullopt;
  }
};

class Siblings {
 public:
  explicit Siblings(Program& program) : program_(program), uses_(program), users_(program.buffers.size()) {}

  void run() {
    std::map<ir::BufferId, std::vector<size_t>> products;  // by the operand on the left
    for (size_t i = 0; i < program_.items.size(); ++i) {
      uses_.add(program_.items[i], i);
      for (const BufferUse& u : buffer_uses(program_, program_.items[i])) {
        users_[u.buffer].push_back(i);
      }
    }
    for (size_t i = 0; i < program_.items.size(); ++i) {
      if (program_.items[i].kind == Item::Kind::kLibrary && mergeable(program_.items[i].call)) {
        products[program_.items[i].call.reads[0].buffer].push_back(i);
      }
    }
    merged_.assign(program_.items.size(), false);
    for (const auto& [buffer, positions] : products) {
      for (size_t first = 0; first < positions.size(); ++first) {
        if (!merged_[positions[first]]) {
          merge(positions, first);
        }
      }
    }
    program_.erase(merged_);
  }

 private:
  static int64_t columns(const LibraryCall& call) {
    return call.writes[0].sizes.back();
  }

  // A plain product with a weight, whose result is a dense temporary that everybody could also read out of a wider matrix.
  bool mergeable(const LibraryCall& call) const {
    if (call.primitive != Primitive::kMatmul || !call.post_ops.empty() || call.reads.size() != 3 ||
        (!call.ints.empty() && call.ints[0] != 0)) {
      return false;
    }
    const Operand &weight = call.reads[1], &bias = call.reads[2], &out = call.writes[0];
    const ir::Buffer& buffer = program_.buffers[out.buffer];
    const bool row =
        !kernels::present(bias) || (is_constant(program_, bias.buffer) && bias.dtype == out.dtype &&
                                    kernels::numel(bias) == columns(call) && !bias.sizes.empty() && bias.sizes.back() == columns(call));
    const bool whole = buffer.kind == ir::BufferKind::kLocal && !buffer.observable && out.offset == 0 &&
                       buffer.nbytes == kernels::numel(out) * static_cast<int64_t>(c10::elementSize(out.dtype)) &&
                       c10::IntArrayRef(out.strides) == c10::IntArrayRef(c10::contiguous_strides(out.sizes));
    const bool weighs = weight.sizes.size() == 2 && weight.buffer != call.reads[0].buffer && is_constant(program_, weight.buffer);
    if (!row || !whole || !weighs || columns(call) == 0) {
      return false;
    }
    const Block probe{columns(call), 0, 2 * columns(call)};
    return std::all_of(users_[out.buffer].begin(), users_[out.buffer].end(),
                       [&](size_t i) { return follows(program_.items[i], out, probe); });
  }

  bool siblings(const LibraryCall& a, const LibraryCall& b) const {
    const Operand &x = a.reads[0], &y = b.reads[0];
    const DimVector &p = a.writes[0].sizes, &q = b.writes[0].sizes;
    return x.sizes == y.sizes && same_map(*program_.graph, access_of(x), access_of(y)) &&
           std::equal(p.begin(), p.end() - 1, q.begin(), q.end() - 1) && a.writes[0].dtype == b.writes[0].dtype &&
           a.scalars.empty() == b.scalars.empty();
  }

  // Puts the product at positions[first] and those behind it that can run at its place into one call.
  void merge(const std::vector<size_t>& positions, size_t first) {
    const size_t at = positions[first];
    std::vector<size_t> group{at};
    uses_.remove(program_.items[at], at);
    int64_t width = columns(program_.items[at].call);
    for (size_t n = first + 1; n < positions.size(); ++n) {
      const size_t i = positions[n];
      const Item& item = program_.items[i];
      if (!merged_[i] && siblings(program_.items[at].call, item.call) && uses_.can_move_up(item, i, at) &&
          width + columns(item.call) <= kWidest * item.call.reads[0].sizes.back()) {
        width += columns(item.call);
        group.push_back(i);
        uses_.remove(item, i);
      }
    }
    if (group.size() == 1) {
      uses_.add(program_.items[at], at);
      return;
    }
    const Operand out = program_.items[at].call.writes[0];
    const ir::BufferId wide =
        program_.add_temporary(kernels::numel(out) / out.sizes.back() * width * static_cast<int64_t>(c10::elementSize(out.dtype)));
    LibraryCall all;
    all.primitive = Primitive::kSiblingMatmuls;
    all.op = program_.items[at].call.op;
    all.reads.push_back(program_.items[at].call.reads[0]);
    Block block{0, 0, width};
    for (size_t i : group) {
      const LibraryCall& call = program_.items[i].call;
      const ir::BufferId result = call.writes[0].buffer;
      block.columns = columns(call);
      for (size_t user : users_[result]) {
        relay(program_.items[user], result, wide, block);
      }
      all.reads.insert(all.reads.end(), call.reads.begin() + 1, call.reads.end());
      all.writes.push_back(call.writes[0]);
      all.scalars.insert(all.scalars.end(), call.scalars.begin(), call.scalars.end());
      all.floats.insert(all.floats.end(), call.floats.begin(), call.floats.end());
      block.first += block.columns;
      merged_[i] = true;
    }
    merged_[at] = false;
    program_.items[at].call = std::move(all);
    uses_.add(program_.items[at], at);
  }

  // Calls f with every access or operand of `item` in `buffer` and its sizes, until f returns false.
  template <typename ItemT, typename F>
  static bool each_map(ItemT& item, ir::BufferId buffer, F f) {
    auto each = [&](auto& maps, auto sizes_of) {
      return std::all_of(maps.begin(), maps.end(), [&](auto& map) { return map.buffer != buffer || f(map, sizes_of(map)); });
    };
    const auto own_sizes = [](const Operand& o) { return o.sizes; };
    return each(item.loop.accesses, [&](const codegen::Access&) { return item.loop.sizes; }) && each(item.call.reads, own_sizes) &&
           each(item.call.writes, own_sizes);
  }

  // Whether a loop addresses elements of the buffer by index.
  static bool indexes(const codegen::Loop& loop, ir::BufferId buffer) {
    return std::any_of(loop.exprs.begin(), loop.exprs.end(),
                       [&](const codegen::Expr& e) {
                         return codegen::is_load(e.op) && e.op != codegen::Op::kLoad &&
                                loop.accesses[static_cast<size_t>(e.imm_i)].buffer == buffer;
                       }) ||
           std::any_of(loop.stores.begin(), loop.stores.end(),
                       [&](const codegen::Store& s) { return s.at != codegen::kNoExpr && loop.accesses[s.access].buffer == buffer; });
  }

  // Whether an item that touches `matrix` could also do so where it is a block of a wider one.
  static bool follows(const Item& item, const Operand& matrix, const Block& block) {
    return item.kind != Item::Kind::kExtern && !indexes(item.loop, matrix.buffer) &&
           each_map(item, matrix.buffer, [&](const auto& map, const DimVector& sizes) {
             return map.dtype == matrix.dtype && block.place(map.offset, sizes, map.strides).has_value();
           });
  }

  static void relay(Item& item, ir::BufferId matrix, ir::BufferId wide, const Block& block) {
    each_map(item, matrix, [&](auto& map, const DimVector& sizes) {
      const Map to = *block.place(map.offset, sizes, map.strides);
      map.buffer = wide;
      map.offset = to.offset;
      map.strides = to.strides;
      return true;
    });
  }

  Program& program_;
  Uses uses_;
  std::vector<std::vector<size_t>> users_;  // by buffer: the items that touch it
  std::vector<bool> merged_;                // into an item that stands earlier
};

}  // namespace

void merge_siblings(Program& program) {
  Siblings(program).run();
}

}  // namespace torch_hpu::compiler
