#include "csrc/compiler/passes/channels_last.h"

#include <c10/util/strides.h>

#include <algorithm>
#include <map>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/digits.h"
#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

using codegen::Access;
using codegen::DimVector;
using codegen::Loop;
using kernels::Operand;
using kernels::Primitive;

// Dense strides of [N, C, spatial...] with the channels last.
DimVector channels_last_strides(const DimVector& sizes) {
  DimVector strides(sizes.size());
  int64_t next = sizes[1];
  strides[1] = 1;
  for (size_t d = sizes.size(); d-- > 2;) {
    strides[d] = next;
    next *= sizes[d];
  }
  strides[0] = next;
  return strides;
}

DimVector dense_strides(const DimVector& sizes) {
  const auto strides = c10::contiguous_strides(sizes);
  return {strides.begin(), strides.end()};
}

bool is_pool(Primitive p) {
  return p == Primitive::kMaxPool || p == Primitive::kAvgPool || p == Primitive::kAdaptiveAvgPool;
}

bool is_plain_convolution(const kernels::LibraryCall& call) {
  const size_t n = static_cast<size_t>(call.ints.at(0));
  return call.primitive == Primitive::kConvolution && call.ints[1 + 4 * n] == 0 && call.ints[2 + 4 * n] == 1;  // not transposed, one group
}

bool reduces(const Loop& loop) {
  return std::any_of(loop.exprs.begin(), loop.exprs.end(), [](const codegen::Expr& e) { return codegen::is_reduce(e.op); });
}

class ChannelsLast {
 public:
  explicit ChannelsLast(Program& program) : program_(program) {}

  void run() {
    for (const Item& item : program_.items) {
      if (item.kind == Item::Kind::kLibrary && is_plain_convolution(item.call)) {
        join(item.call.reads[0].buffer, item.call.reads[0].sizes);
        join(item.call.writes[0].buffer, item.call.writes[0].sizes);
      }
    }
    while (spread()) {
    }
    while (withdraw()) {
    }
    for (Item& item : program_.items) {
      rewrite(item);
    }
  }

 private:
  // Marks a temporary that is a dense tensor of these sizes; false when it is none, or marked already.
  bool join(ir::BufferId b, const DimVector& sizes) {
    const ir::Buffer& buffer = program_.buffers[b];
    const bool local = buffer.kind == ir::BufferKind::kLocal && !buffer.observable;
    const bool images = sizes.size() >= 4 && sizes[1] > 1 && c10::multiply_integers(sizes.begin() + 2, sizes.end()) > 1;
    return local && images && sizes_.emplace(b, sizes).second;
  }

  bool marked(ir::BufferId b) const {
    return b != ir::kNone && sizes_.count(b) != 0;
  }

  // Marks what shares a loop's points, or a pool, with a marked temporary. True when that changed something.
  bool spread() {
    bool changed = false;
    for (const Item& item : program_.items) {
      if (item.kind == Item::Kind::kLibrary && is_pool(item.call.primitive)) {
        const Operand &in = item.call.reads[0], &out = item.call.writes[0];
        changed = (marked(in.buffer) && join(out.buffer, out.sizes)) || (marked(out.buffer) && join(in.buffer, in.sizes)) || changed;
      } else if (item.kind == Item::Kind::kLoop && !reduces(item.loop)) {
        for (const Access& a : item.loop.accesses) {
          for (const Access& b : item.loop.accesses) {
            changed = (marked(a.buffer) && a.strides == b.strides && join(b.buffer, sizes_.at(a.buffer))) || changed;
          }
        }
      }
    }
    return changed;
  }

  // Takes the mark from what some item cannot follow. True when that changed something.
  bool withdraw() {
    std::vector<ir::BufferId> gone;
    auto drop_marked = [&](ir::BufferId b) {
      if (marked(b)) {
        gone.push_back(b);
      }
    };
    for (const Item& item : program_.items) {
      if (item.kind == Item::Kind::kLoop && !reduces(item.loop) && follows(item.loop)) {
        continue;
      }
      const auto uses = buffer_uses(program_, item);
      if (item.kind != Item::Kind::kLibrary) {
        std::for_each(uses.begin(), uses.end(), [&](const BufferUse& u) { drop_marked(u.buffer); });
        continue;
      }
      const kernels::LibraryCall& call = item.call;
      const bool images = is_plain_convolution(call) || is_pool(call.primitive);
      for (const auto* operands : {&call.reads, &call.writes}) {
        for (const Operand& o : *operands) {
          if (marked(o.buffer) && !(images && &o == operands->data() && moved(o.buffer, o.dtype, o.offset, o.sizes, o.strides))) {
            gone.push_back(o.buffer);
          }
        }
      }
    }
    for (ir::BufferId b : gone) {
      sizes_.erase(b);
    }
    return !gone.empty();
  }

  // Whether a pointwise loop can go on in the new layout: it would be slow if it stored the same points in the old one.
  bool follows(const Loop& loop) const {
    bool touches = false, old = false;
    for (const Access& a : loop.accesses) {
      if (marked(a.buffer)) {
        touches = true;
        old = old || !moved(a.buffer, a.dtype, a.offset, loop.sizes, a.strides);
      }
    }
    for (const codegen::Store& s : loop.stores) {
      old = old || !marked(loop.accesses[s.access].buffer);
    }
    return !touches || !old;
  }

  // The strides of a map over a marked buffer in the new layout; nothing when it is not a map over all of the tensor.
  std::optional<DimVector> moved(ir::BufferId b, c10::ScalarType dtype, int64_t offset, const DimVector& sizes,
                                 const DimVector& strides) const {
    const DimVector& tensor = sizes_.at(b);
    if (offset != 0 || c10::multiply_integers(tensor) * static_cast<int64_t>(c10::elementSize(dtype)) != program_.buffers[b].nbytes) {
      return std::nullopt;
    }
    return strides_along(sizes, strides, tensor, dense_strides(tensor), channels_last_strides(tensor));
  }

  void rewrite(Item& item) const {
    for (Access& a : item.loop.accesses) {
      if (marked(a.buffer)) {
        a.strides = *moved(a.buffer, a.dtype, a.offset, item.loop.sizes, a.strides);
      }
    }
    for (auto* operands : {&item.call.reads, &item.call.writes}) {
      for (Operand& o : *operands) {
        if (marked(o.buffer)) {
          o.strides = *moved(o.buffer, o.dtype, o.offset, o.sizes, o.strides);
        }
      }
    }
  }

  Program& program_;
  std::map<ir::BufferId, DimVector> sizes_;  // of the marked temporaries, as [N, C, spatial...]
};

}  // namespace

void lay_channels_last(Program& program) {
  ChannelsLast(program).run();
}

}  // namespace torch_hpu::compiler
