// Note [Failures]
// A recipe fails as a whole: every memory that it had to write is failed, and so is whatever later recipes compute from those. Work that
// touches none of them goes on. The first synchronising call on the stream throws the error; reading a failed memory throws it again;
// overwriting all of the memory, or freeing it, clears it. The error keeps its type and says which op failed: its name, node number, graph
// id and the place where it was recorded.
#pragma once

#include <c10/core/Stream.h>

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "csrc/recipe/recipe.h"

namespace torch_hpu::runtime {
struct StepTimes;
}

namespace torch_hpu::lazy {

struct Memory;
struct Trace;

// The state of one memory. Any thread may ask at any time.
void fail(Memory& memory, const std::exception_ptr& error);
void heal(Memory& memory);
void throw_if_failed(const Memory& memory);

// Runs the recipe of a closed trace. To the error of a failing step it adds what Note [Failures] promises. times: see
// runtime::run().
void run_recipe(const Trace& trace, const Recipe& recipe, const Invocation& invocation, runtime::StepTimes* times = nullptr);

// Notes that the run that had to write these memories failed: they are failed, and the stream's next synchronising call throws.
void keep_failure(c10::Stream stream, const std::vector<Memory*>& written, const std::exception_ptr& error);

// Whether any stream has a failure that nobody has seen yet.
bool has_stream_errors();
// That of the stream, taken; null if none.
std::exception_ptr take_stream_error(c10::Stream stream);

}  // namespace torch_hpu::lazy
