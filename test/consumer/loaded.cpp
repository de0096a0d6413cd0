// A program that knows torch only and opens libtorch_hpu.so while it runs: loading alone must register device, kernels and hooks.
// usage: loaded PATH_OF_LIBTORCH_HPU
#include <ATen/Context.h>
#include <ATen/ops/add.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <dlfcn.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2 || dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) == nullptr) {
    std::cerr << (argc == 2 ? dlerror() : "usage: loaded PATH_OF_LIBTORCH_HPU") << '\n';
    return 2;
  }
  const at::Device device("hpu");
  const auto a = at::ones({2, 3}, device), b = at::ones({3, 4}, device);
  const auto leaf = at::ones({2, 3}, device).set_requires_grad(true);
  at::matmul(leaf, b).sum().backward();
  const bool product = at::equal(at::add(at::matmul(a, b), 1).cpu(), at::full({2, 4}, 4.0));
  const bool gradient = at::equal(leaf.grad().cpu(), at::full({2, 3}, 4.0));
  std::cout << "product " << (product ? "right" : "wrong") << ", gradient " << (gradient ? "right" : "wrong") << '\n';
  return device.type() == at::kPrivateUse1 && product && gradient ? 0 : 1;
}
