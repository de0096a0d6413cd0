// The headers that the clients of the device (csrc/train, csrc/diffusion) and their tests include, parsed once.
#pragma once

#include <torch/nn.h>
#include <torch/optim.h>

#include <map>
#include <memory>
#include <string>
#include <vector>
