// What kernels need once per process, made before anybody waits for it.
#pragma once

namespace torch_hpu::kernels {

// Starts it in the background for convolutions; returns at once.
void prepare_convolutions();

}  // namespace torch_hpu::kernels
