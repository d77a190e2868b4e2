// model/family_llama.cpp: what do Llama 1 to 3.x, Mistral, SmolLM and SmolLM2 add to the plain decoder? Factors for the
// frequencies, from Llama 3.1 on.
#include <kinglet/model/family.hpp>

namespace kinglet::model {

const Family llama_family{"llama", ops::RotaryPairs::interleaved, "rope_freqs.weight", nullptr};

}  // namespace kinglet::model
