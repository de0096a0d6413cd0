// Note [Loops without mark_step]
// A training loop that neither marks its steps nor reads anything would be cut by the node limit, wherever that falls: another graph each time.
// So the nodes of a long trace are compared with each other. When a sequence of ops has come twice in a row, over the same existing memories
// (the equal layers of a network use different weights; the iterations of a loop use the same), the loop is known, and from then on the trace is cut
// after every so many iterations at one place of the loop: where the fewest bytes are in flight. So there is one graph per cut, the
// same each time. Traces shorter than a quarter of the node limit are left alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "csrc/ir/graph.h"

namespace torch_hpu::lazy {

class Repetition {
 public:
  // What a node is to the comparison.
  struct Step {
    uint64_t op = 0;        // hash of its structure
    uint64_t memories = 0;  // hash of the existing memories among its operands; 0: none
    bool operator==(const Step&) const = default;
  };

  // Whether next() wants to see the nodes of a trace that is so long.
  bool watches(size_t nodes) const {
    return !seen_.empty() || !cycle_.empty() || nodes >= threshold();
  }

  // The graph's last node. True: the trace should be cut behind it, and this object go on with the next trace.
  bool next(const ir::Graph& graph, Step step);

 private:
  static size_t threshold();
  size_t find_period() const;
  bool follow(const ir::Graph& graph, size_t period);  // whether this is the place to cut

  std::vector<Step> seen_;       // while no loop is known
  std::vector<uint64_t> cycle_;  // Step::op of one iteration, when it is
  size_t position_ = 0;          // in cycle_, of the next node
  size_t until_cut_ = 0;         // nodes
  size_t length_ = 0;            // nodes between two cuts: whole iterations
};

}  // namespace torch_hpu::lazy
