// text/pretokenizer.cpp: which published expressions stand behind each name?
#include "text/pretokenizer.hpp"

#include <algorithm>
#include <iterator>

#include "text/stages.hpp"

namespace kinglet::text {
namespace {

// The published expressions, by the name of the list that matches them. C stands for the contractions
// (?i:'s|'t|'re|'ve|'m|'ll|'d), W for [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], w for [\p{Ll}\p{Lm}\p{Lo}\p{M}],
// E for \s*[\r\n]+|\s+(?!\S)|\s+.

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
constexpr Stage gpt2[] = {stages::gpt2};
// \p{N} before it
constexpr Stage digits_gpt2[] = {stages::one_number, stages::gpt2};
// [\p{P}\$\+<=>\^~\|`]+ before, [0-9][0-9][0-9] after it
constexpr Stage falcon[] = {stages::signs, stages::gpt2, stages::three_digits};
// [\p{P}\$\+<=>\^~\|]+ before, \p{N}+, [0-9][0-9][0-9] after it: what files without a better name were made for
constexpr Stage fallback[] = {stages::signs_but_backtick, stages::gpt2, stages::numbers, stages::three_digits};

// C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|E
constexpr stages::Modern llama3_form{.digits = 3};
constexpr Stage llama3[] = {stages::modern<llama3_form>};
// The same with \p{N}
constexpr stages::Modern qwen2_form{};
constexpr Stage qwen2[] = {stages::modern<qwen2_form>};
// C|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|E
constexpr stages::Modern qwen35_form{.word = letter | mark};
constexpr Stage qwen35[] = {stages::modern<qwen35_form>};
// As qwen2, without [\r\n]*
constexpr stages::Modern seed_coder_form{.tail = ""};
constexpr Stage seed_coder[] = {stages::modern<seed_coder_form>};
// [^\r\n\p{L}\p{N}]?W*w+|[^\r\n\p{L}\p{N}]?W+w*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|E
constexpr stages::Modern tekken_form{.cased = true, .contractions = stages::Contractions::none, .tail = "\r\n/"};
constexpr Stage tekken[] = {stages::modern<tekken_form>};
// [^\r\n\p{L}\p{N}]?W*w+C?|[^\r\n\p{L}\p{N}]?W+w*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|E
constexpr stages::Modern gpt4o_form{
    .digits = 3, .cased = true, .contractions = stages::Contractions::after, .tail = "\r\n/"};
constexpr Stage gpt4o[] = {stages::modern<gpt4o_form>};
// [가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+, then the same
// with \p{N}
constexpr stages::Modern youtu_form{.cased = true, .contractions = stages::Contractions::after, .tail = "\r\n/"};
constexpr Stage youtu[] = {stages::asian_runs, stages::modern<youtu_form>};

// [\r\n], \s?[Latin, Greek, Cyrillic, ...]+, \s?[!-/:-~！-／：-～‘-‟　-。]+, \s+$, [一-龥ࠀ-一가-퟿]+,
// \p{N}+
constexpr Stage deepseek_llm[] = {stages::line_break,  stages::cased_word, stages::full_width_signs,
                                  stages::final_space, stages::cjk_korean, stages::numbers};
// [\r\n], \s?\p{L}+, \s?\p{P}+, [一-龥ࠀ-一가-퟿]+, \p{N}
constexpr Stage deepseek_coder[] = {stages::line_break, stages::letters_after_space, stages::points_after_space,
                                    stages::cjk_korean, stages::one_number};
// \p{N}{1,3}, [一-龥぀-ゟ゠-ヿ]+,
// [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|E
constexpr Stage deepseek_v3[] = {stages::numbers_by_three, stages::cjk_kana, stages::deepseek3};

//  ?[^(\s|.,!?…。，、।۔،)]+
constexpr Stage bloom[] = {stages::bloom};
// then \p{N}
constexpr Stage viking[] = {stages::bloom, stages::one_number};

constexpr PreTokenizer patterns[] = {{gpt2},         {digits_gpt2}, {falcon},       {fallback},       {llama3},
                                     {llama3, true}, {qwen2},       {qwen35},       {seed_coder},     {tekken, true},
                                     {gpt4o},        {youtu, true}, {deepseek_llm}, {deepseek_coder}, {deepseek_v3},
                                     {bloom},        {viking}};
enum Pattern : unsigned char {
  of_gpt2,
  of_digits_gpt2,
  of_falcon,
  of_fallback,
  of_llama3,
  of_llama3_whole,
  of_qwen2,
  of_qwen35,
  of_seed_coder,
  of_tekken,
  of_gpt4o,
  of_youtu,
  of_deepseek_llm,
  of_deepseek_coder,
  of_deepseek_v3,
  of_bloom,
  of_viking
};

struct Name {
  std::string_view name;
  Pattern pattern;
};

// Sorted by name.
constexpr Name names[] = {
    {"a.x-4.0", of_gpt2},
    {"bailingmoe", of_qwen2},
    {"bailingmoe2", of_qwen2},
    {"bloom", of_bloom},
    {"chatglm-bpe", of_llama3},
    {"codeshell", of_digits_gpt2},
    {"command-r", of_digits_gpt2},
    {"dbrx", of_llama3},
    {"deepseek-coder", of_deepseek_coder},
    {"deepseek-llm", of_deepseek_llm},
    {"deepseek-r1-qwen", of_qwen2},
    {"deepseek-v3", of_deepseek_v3},
    {"default", of_fallback},
    {"exaone", of_digits_gpt2},
    {"exaone4", of_gpt2},
    {"f2llmv2", of_qwen2},
    {"falcon", of_falcon},
    {"falcon-h1", of_llama3_whole},
    {"falcon3", of_llama3_whole},
    {"gigachat", of_gpt2},
    {"glm4", of_llama3_whole},
    {"gpt-2", of_gpt2},
    {"gpt-4o", of_gpt4o},
    {"gpt3-finnish", of_bloom},
    {"granite-docling", of_gpt2},
    {"grok-2", of_qwen2},
    {"hunyuan", of_qwen2},
    {"hunyuan-dense", of_deepseek_v3},
    {"jais", of_gpt2},
    {"jina-de", of_gpt2},
    {"jina-es", of_gpt2},
    {"jina-v1-en", of_gpt2},
    {"jina-v2-code", of_gpt2},
    {"jina-v2-de", of_gpt2},
    {"jina-v2-es", of_gpt2},
    {"jina-v5-nano", of_llama3_whole},
    {"joyai-llm", of_deepseek_v3},
    {"kanana2", of_gpt4o},
    {"kormo", of_qwen2},
    {"lfm2", of_llama3_whole},
    {"llada-moe", of_qwen2},
    {"llama-bpe", of_llama3_whole},
    {"llama-v3", of_llama3_whole},
    {"llama3", of_llama3_whole},
    {"llama4", of_gpt4o},
    {"megrez", of_qwen2},
    {"mellum", of_gpt2},
    {"midm-2.0", of_llama3_whole},
    {"minerva-7b", of_digits_gpt2},
    {"minimax-m2", of_gpt4o},
    {"modern-bert", of_gpt2},
    {"mpt", of_gpt2},
    {"olmo", of_gpt2},
    {"phi-2", of_gpt2},
    {"pixtral", of_llama3_whole},
    {"poro-chat", of_bloom},
    {"qwen2", of_qwen2},
    {"qwen35", of_qwen35},
    {"refact", of_digits_gpt2},
    {"roberta-bpe", of_gpt2},
    {"seed-coder", of_seed_coder},
    {"smaug-bpe", of_llama3},
    {"smollm", of_digits_gpt2},
    {"solar-open", of_qwen2},
    {"stablelm2", of_qwen2},
    {"starcoder", of_digits_gpt2},
    {"tekken", of_tekken},
    {"trillion", of_gpt2},
    {"viking", of_viking},
    {"youtu", of_youtu},
};

constexpr bool before(const Name& a, const Name& b) noexcept { return a.name < b.name; }
static_assert(std::is_sorted(std::begin(names), std::end(names), before));
static_assert(std::size(patterns) == of_viking + 1);

}  // namespace

const PreTokenizer* find_pre_tokenizer(std::string_view name) noexcept {
  const auto found = std::lower_bound(std::begin(names), std::end(names), Name{name, of_gpt2}, before);
  return found != std::end(names) && found->name == name ? &patterns[found->pattern] : nullptr;
}

}  // namespace kinglet::text
