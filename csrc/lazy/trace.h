// A trace: the graph that is being recorded on one stream, with the memories that its buffers stand for and its key.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Stream.h>

#include <unordered_map>
#include <vector>

#include "csrc/ir/graph.h"
#include "csrc/lazy/memory.h"
#include "csrc/recipe/recipe.h"
#include "csrc/lazy/repetition.h"

namespace torch_hpu::lazy {

// Canonical words: equal words mean equal structure.
using Words = std::vector<uint64_t>;

// Random numbers that a graph draws: scalars [first] = seed, [first + 1] = offset, `blocks` reserved per run.
struct RandomDraw {
  ir::ScalarId first;
  at::Generator generator;
  uint64_t blocks;
};

// What makes a trace a capture, see Note [Capture rules] (capture.h).
struct Capture {
  uint64_t id;                                             // unique, never 0
  bool allows_host;                                        // capture_error_mode "relaxed"
  uint64_t first_memory;                                   // memories with a smaller id existed before
  std::vector<c10::Stream> joined;                         // other streams that record here
  std::unordered_map<const Memory*, ir::BufferId> inputs;  // looked up here instead of marked, so that they stay free for everybody else
};

struct Trace {
  explicit Trace(c10::Stream stream) : stream(stream) {}

  c10::Stream stream;
  ir::Graph graph;
  std::vector<MemoryPtr> memories;  // by BufferId
  std::vector<bool> defined_first;  // by BufferId: its first use overwrites all of it, so older bytes don't matter
  std::vector<RandomDraw> draws;
  Words words;                       // the key: the nodes' words, then the tail that finish_key() appends
  std::vector<uint32_t> node_words;  // where in `words` each node begins; finish_key() adds where the tail does
  std::vector<uint64_t> places;      // where each node was recorded (place.h)
  int64_t pending_bytes = 0;         // of local buffers
  Repetition repetition;             // of the nodes; goes on with the next trace when a limit cut this one
  std::unique_ptr<Capture> capture;  // null: an ordinary trace

  bool capturing() const {
    return capture != nullptr;
  }
  bool empty() const {
    return graph.nodes.empty();
  }
  // The memory's buffer in this trace. The recording lock is held, and no other trace uses the memory.
  ir::BufferId buffer_of(Memory* memory, bool first_use_writes);
  // Words that depend on the whole trace: buffers, and how the windows of written inputs lie to each other.
  void finish_key();
  void set_observability();  // snapshot of which local buffers anybody can still read
  // Which bytes every buffer will hold when what is recorded so far has run, see tag_of().
  void tag(std::vector<BufferTag>& tags) const;
};

// Which bytes a memory will hold when what is recorded so far has run; an empty tag for an escaped one. The recording lock is held: a later
// moment would see the versions of writes that are recorded behind.
BufferTag tag_of(const Memory& memory);

}  // namespace torch_hpu::lazy
