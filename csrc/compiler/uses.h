// Who reads and writes each buffer of a program, by position.
#pragma once

#include <set>
#include <vector>

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

struct BufferUse {
  ir::BufferId buffer;
  bool writes;
};

// The buffers that an item touches; one that it reads and writes stands twice.
std::vector<BufferUse> buffer_uses(const Program& program, const Item& item);
std::vector<BufferUse> buffer_uses(const codegen::Loop& loop);

// Bytes that an item reads and writes: each access counts the elements that it reaches, once.
int64_t traffic(const Program& program, const Item& item);

class Uses {
 public:
  static constexpr size_t kNever = SIZE_MAX;
  explicit Uses(const Program& program) : program_(program), uses_(program.buffers.size()) {}

  void add(const Item& item, size_t position);
  void remove(const Item& item, size_t position);

  size_t last_write_before(ir::BufferId buffer, size_t position) const;  // kNever: none
  size_t first_use_after(ir::BufferId buffer, size_t position) const;    // kNever: none
  size_t last_use(ir::BufferId buffer) const;                            // 0 when there is none
  bool unused(ir::BufferId buffer) const;
  bool used_only_at(ir::BufferId buffer, size_t p, size_t q) const;
  // The last position that touches any buffer that `loop` stores.
  size_t future(size_t position, const codegen::Loop& loop) const;

  // Whether the item may run after everything up to q (and before q's own work), or before everything behind p.
  bool can_move_down(const Item& item, size_t p, size_t q) const;
  bool can_move_up(const Item& item, size_t q, size_t p) const;

 private:
  // positions, each with what happens there
  struct Positions {
    std::set<size_t> reads, writes;
  };
  static bool any_between(const std::set<size_t>& positions, size_t p, size_t q);

  const Program& program_;
  std::vector<Positions> uses_;
};

}  // namespace torch_hpu::compiler
