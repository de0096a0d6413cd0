// What the shared library shows.
#pragma once

#define TORCH_HPU_API __attribute__((visibility("default")))
