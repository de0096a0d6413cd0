// What device/ asks of the lazy layer, installed once when the library is loaded.
#pragma once

namespace torch_hpu::aten {

void install_hooks();

}  // namespace torch_hpu::aten
