// Fused optimizers: one loop per parameter; the group pass makes one kernel of them.
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;

// One loop over the elements of one parameter of a fused optimizer: `tensor(list)` is that parameter's tensor of a list argument.
struct Parameter {
  LoweringContext& c;
  LoopBuilder& b;
  uint32_t k;
  ScalarType dtype;
  E scale, found_inf;

  // `scaler`: the argument grad_scale, found_inf follows.
  Parameter(LoweringContext& context, LoopBuilder& builder, uint32_t number, size_t scaler) : c(context), b(builder), k(number) {
    dtype = compute_dtype(c.graph.windows[window(0)].dtype);
    scale = optional(scaler);
    if (const E found = optional(scaler + 1)) {
      found_inf = not_equal(found, b.constant(0, dtype));
    }
  }

  ir::WindowId window(size_t arg) const {
    return c.graph.list_items[c.node.args[arg].index + k];
  }
  E load(size_t arg) const {
    return cast(b.load(window(arg)), dtype);
  }
  // Keeps the old value when a gradient scaler has found infinities.
  void store(size_t arg, E value) const {
    b.store(window(arg), found_inf ? where(found_inf, load(arg), value) : value);
  }
  // The gradient of what is minimised, unscaled in place when a gradient scaler asks for that.
  E grad(bool maximize) const {
    E g = load(1);
    if (scale) {
      g = g / scale;
      b.store(window(1), g);
    }
    return maximize ? -g : g;
  }
  E number(size_t arg) const {  // a float, or a tensor (the learning rate)
    const ir::Arg& a = c.node.args[arg];
    return a.kind == ir::Arg::Kind::kWindow ? cast(b.load(a.index), dtype) : b.scalar(a.index, dtype);
  }

 private:
  E optional(size_t arg) const {
    return c.node.args[arg].is_none() ? E{} : number(arg);
  }
};

// (self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, *, lr, beta1, beta2, weight_decay, eps, amsgrad, maximize,
//  grad_scale?, found_inf?)
template <bool Decoupled>
bool lower_fused_adam(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const bool amsgrad = c.node.args[11].value.toBool(), maximize = c.node.args[12].value.toBool();
  for (uint32_t k = 0; k < c.node.args[0].count; ++k) {
    const ir::Window& p = c.graph.windows[c.graph.list_items[c.node.args[0].index + k]];
    LoopBuilder b(c, Decoupled ? "adamw" : "adam", p.sizes, p.sizes.size());
    const Parameter t(c, b, k, 13);
    const E lr = t.number(6), beta1 = t.number(7), beta2 = t.number(8), decay = t.number(9), eps = t.number(10);
    const E step = t.load(5);
    E param = t.load(0), grad = t.grad(maximize);
    if (Decoupled) {
      param = param * (1.0 - lr * decay);
    } else {
      grad = grad + param * decay;
    }
    const E old = t.load(2);
    const E average = old + (grad - old) * (1.0 - beta1);
    const E square = t.load(3) * beta2 + grad * grad * (1.0 - beta2);
    const E correction1 = 1.0 - pow(beta1, step), correction2 = 1.0 - pow(beta2, step);
    E peak = square;
    if (amsgrad) {
      peak = maximum(t.load(4), square);
      t.store(4, peak);
    }
    const E denominator = sqrt(peak) / sqrt(correction2) + eps;
    t.store(0, param - lr / correction1 * (average / denominator));
    t.store(2, average);
    t.store(3, square);
    b.finish();
  }
  return true;
}

// (self, grads, momentum_buffer_list, *, weight_decay, momentum, lr, dampening, nesterov, maximize, is_first_step, grad_scale?, found_inf?)
bool lower_fused_sgd(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const bool has_momentum = c.node.args[2].count > 0, nesterov = c.node.args[7].value.toBool(), maximize = c.node.args[8].value.toBool(),
             first = c.node.args[9].value.toBool();
  for (uint32_t k = 0; k < c.node.args[0].count; ++k) {
    const ir::Window& p = c.graph.windows[c.graph.list_items[c.node.args[0].index + k]];
    LoopBuilder b(c, "sgd", p.sizes, p.sizes.size());
    const Parameter t(c, b, k, 10);
    const E decay = t.number(3), momentum = t.number(4), lr = t.number(5), dampening = t.number(6);
    const E param = t.load(0);
    E grad = t.grad(maximize) + param * decay;
    if (has_momentum) {
      const E buffer = first ? grad : t.load(2) * momentum + grad * (1.0 - dampening);
      t.store(2, buffer);
      grad = nesterov ? grad + buffer * momentum : buffer;
    }
    t.store(0, param - lr * grad);
    b.finish();
  }
  return true;
}

// (self, grads, state_sums, state_steps, *, lr, lr_decay, weight_decay, eps, maximize, grad_scale?, found_inf?)
bool lower_fused_adagrad(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const bool maximize = c.node.args[8].value.toBool();
  for (uint32_t k = 0; k < c.node.args[0].count; ++k) {
    const ir::Window& p = c.graph.windows[c.graph.list_items[c.node.args[0].index + k]];
    LoopBuilder b(c, "adagrad", p.sizes, p.sizes.size());
    const Parameter t(c, b, k, 9);
    const E lr = t.number(4), lr_decay = t.number(5), decay = t.number(6), eps = t.number(7);
    const E param = t.load(0);
    const E grad = t.grad(maximize) + param * decay;
    const E sum = t.load(2) + grad * grad;
    t.store(0, param - lr / (1.0 + (t.load(3) - 1) * lr_decay) * (grad / (sqrt(sum) + eps)));
    t.store(2, sum);
    b.finish();
  }
  return true;
}

}  // namespace

std::vector<LoweringRow> optimizer_lowerings() {
  return {
      {"_fused_adamw_", &lower_fused_adam<true>}, {"_fused_adamw_.tensor_lr", &lower_fused_adam<true>},
      {"_fused_adam_", &lower_fused_adam<false>}, {"_fused_adam_.tensor_lr", &lower_fused_adam<false>},
      {"_fused_sgd_", &lower_fused_sgd},          {"_fused_sgd_.tensor_lr", &lower_fused_sgd},
      {"_fused_adagrad_", &lower_fused_adagrad},  {"_fused_adagrad_.tensor_lr", &lower_fused_adagrad},
  };
}

}  // namespace torch_hpu::compiler
