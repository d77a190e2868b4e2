// cuda/kernels.cuh: which kernels are there, and what are they called?
#pragma once
#include "attention.cuh"
#include "embed.cuh"
#include "gate.cuh"
#include "names.hpp"
#include "prepare.cuh"
#include "product.cuh"
#include "product_halves.cuh"
#include "product_mma.cuh"
#include "rotate.cuh"
#include "sample.cuh"

namespace kinglet::cuda {

/// Calls visit.template operator()<Kernel>() for the kernel of that kind and format. @return false: there is none
template <KernelKind kind, class Visit>
bool with_kernel(Format format, Visit&& visit) {
  constexpr bool by_format = kind == KernelKind::embed || kind == KernelKind::product_floats ||
                             kind == KernelKind::product_int8 || kind == KernelKind::product_fp8 ||
                             kind == KernelKind::product_many || kind == KernelKind::product_halves;
  if constexpr (by_format) {
    bool found = false;
    const auto call = [&]<Format F>() {
      found = true;
      if constexpr (kind == KernelKind::embed) {
        visit.template operator()<EmbedRows<F>>();
      } else if constexpr (kind == KernelKind::product_floats) {
        visit.template operator()<ProductOfFloats<F>>();
      } else if constexpr (kind == KernelKind::product_halves) {
        visit.template operator()<ProductOfHalves<F>>();
      } else if constexpr (quant::is_float(F)) {
        found = false;
      } else if constexpr (kind == KernelKind::product_int8) {
        visit.template operator()<ProductOfGroups<F, Form::int8>>();
      } else if constexpr (kind == KernelKind::product_fp8) {
        visit.template operator()<ProductOfGroups<F, Form::fp8>>();
      } else {
        visit.template operator()<ProductOfManyRows<F>>();
      }
    };
    switch (format) {
      case Format::f32: call.template operator()<Format::f32>(); break;
      case Format::f16: call.template operator()<Format::f16>(); break;
      case Format::bf16: call.template operator()<Format::bf16>(); break;
      default: quant::with_quantized(format, call);
    }
    return found;
  } else {
    if constexpr (kind == KernelKind::prepare_values) visit.template operator()<PrepareRow<Form::values>>();
    if constexpr (kind == KernelKind::prepare_int8) visit.template operator()<PrepareRow<Form::int8>>();
    if constexpr (kind == KernelKind::prepare_fp8) visit.template operator()<PrepareRow<Form::fp8>>();
    if constexpr (kind == KernelKind::prepare_halves) visit.template operator()<PrepareRow<Form::halves>>();
    if constexpr (kind == KernelKind::gate) visit.template operator()<GateRow>();
    if constexpr (kind == KernelKind::rotate) visit.template operator()<RotateAndStore>();
    if constexpr (kind == KernelKind::attend) visit.template operator()<AttendStretch>();
    if constexpr (kind == KernelKind::merge) visit.template operator()<MergeStretches>();
    if constexpr (kind == KernelKind::sample) visit.template operator()<SampleRow>();
    return true;
  }
}

}  // namespace kinglet::cuda
