// Note [Programs of the last run]
// A program that runs again mostly compiles the same graphs again. So the disk cache holds, by executable and script, the names of the first
// optimized programs that the last such process used, and a new process loads them beside its start, before it asks for them: a network's kernels are
// made while its weights are still being copied. The list is written anew by a process that uses a program which is not on it; what was
// loaded and not asked for until then is dropped, while a process that keeps to the list keeps what it does not use, 15 recipes at most. Programs for
// other numbers of threads than at the start are not loaded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "csrc/recipe/recipe.h"
#include "csrc/support/disk_cache.h"

namespace torch_hpu::compiler {

// The recipe of a program as the disk cache holds it, or null.
using LoadFn = std::function<std::unique_ptr<Recipe>(const disk_cache::Entry& entry)>;

// Loads what is on the list, one after the other. What cannot be loaded is left out.
void load_recent(const LoadFn& load);

// Tells that this process uses the program of `key`. Its recipe if it has been loaded; waits for one that is just being loaded.
std::unique_ptr<Recipe> use_program(const std::string& key);

}  // namespace torch_hpu::compiler
