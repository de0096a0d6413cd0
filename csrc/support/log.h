// Lines to stderr, by level (TORCH_HPU_LOG).
#pragma once

#include <iostream>
#include <sstream>

#include "csrc/support/env.h"

#define TORCH_HPU_LOG(level, message)                                         \
  do {                                                                        \
    if (C10_UNLIKELY(::torch_hpu::options().log >= (level))) {                \
      std::ostringstream line_;                                               \
      line_ << "[hpu] " << message << '\n'; /* one write: lines stay whole */ \
      std::cerr << line_.str();                                               \
    }                                                                         \
  } while (false)
