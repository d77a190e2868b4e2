// tests/fuzz/gguf_fuzz.cpp: can any bytes make the reader of model files, or what is built on it, misbehave?
#include <cstddef>
#include <cstdint>
#include <vector>

#include <kinglet/model/config.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/pack.hpp>
#include <kinglet/model/vocabulary.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kinglet;
  const std::vector<std::byte> file(reinterpret_cast<const std::byte*>(data),
                                    reinterpret_cast<const std::byte*>(data) + size);
  core::Memory memory({}, 64 << 20);
  {
    const auto gguf = model::Gguf::from_memory(file, memory);
    if (!gguf) return 0;
    unsigned sum = 0;
    for (const auto& tensor : gguf->tensors()) {
      for (std::size_t i = 0; i < tensor.bytes; i += 61) sum += static_cast<unsigned>(tensor.data[i]);
      if (tensor.format && tensor.elements() <= 65536) {
        std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
        quant::dequantize(*tensor.format, tensor.data, values.size(), values.data());
      }
      if (tensor.bytes > 0) sum += static_cast<unsigned>(tensor.data[tensor.bytes - 1]);
      if (gguf->find(tensor.name) == nullptr) __builtin_trap();
    }
    std::pmr::vector<std::string_view> strings(&memory);
    for (const auto& entry : gguf->entries()) {
      if (!gguf->has(entry.key)) __builtin_trap();
      sum += static_cast<unsigned>(gguf->get_uint(entry.key).value_or(0) + gguf->get_bool(entry.key).value_or(false));
      if (gguf->get_float(entry.key).value_or(0) > 1) ++sum;
      if (gguf->get_strings(entry.key, strings)) {
        for (const std::string_view text : strings) sum += text.empty() ? 0u : static_cast<unsigned char>(text.back());
      }
    }
    volatile unsigned seen = sum;
    (void)seen;
    if (gguf->packed()) (void)model::check_packed(*gguf);
    (void)model::read_config(*gguf);
    (void)model::load_tokenizer(*gguf, "", &memory);
  }
  if (memory.used() != 0) __builtin_trap();
  return 0;
}
