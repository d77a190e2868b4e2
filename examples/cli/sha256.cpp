#include "sha256.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstdio>
#include <memory>
#include <vector>

namespace kinglet::cli {

Sha256::Sha256()
    : context_(EVP_MD_CTX_new()),
      good_(context_ != nullptr && EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1) {}

Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::add(const void* data, std::size_t bytes) {
  good_ = good_ && EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), data, bytes) == 1;
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (!good_ || EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.data(), &size) != 1) return "";
  good_ = false;
  std::string text;
  for (unsigned i = 0; i < size; ++i)
    for (const int nibble : {digest[i] >> 4, digest[i] & 15}) text += "0123456789abcdef"[nibble];
  return text;
}

std::string sha256_of_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return "";
  Sha256 hash;
  std::vector<unsigned char> buffer(1 << 20);
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get())) hash.add(buffer.data(), n);
  return std::ferror(file.get()) != 0 ? std::string() : hash.hex();
}

}  // namespace kinglet::cli
