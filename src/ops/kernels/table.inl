// ops/kernels/table.inl: the list of what kernels.inl and attend.inl hold, included after them

const Kernels& kernels() noexcept {
  static constexpr Kernels table{norm,   quantize_int8,      quantize_fp8,  product_fp32, product_int8, product_fp8,
                                 swiglu, rotate_interleaved, rotate_halves, store_kv,     attend,       merge};
  return table;
}
