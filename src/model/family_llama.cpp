// Llama 1 to 3.x, Mistral, SmolLM and SmolLM2: the plain decoder. Llama 3.1 and later bring factors for their
// frequencies.
#include <kinglet/model/family.hpp>

namespace kinglet::model {

const Family llama_family{"llama", ops::RotaryPairs::interleaved, "rope_freqs.weight", nullptr};

}  // namespace kinglet::model
