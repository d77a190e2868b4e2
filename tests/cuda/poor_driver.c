// tests/cuda/poor_driver.c: a CUDA driver that knows its version and how cuInit() fails, for poor_drivers.sh
#include <stdlib.h>
#include <string.h>

static int answer(const char* name) {
  const char* const value = getenv(name);
  return value != NULL ? atoi(value) : 0;
}
static int missing(void) { return 500; }

int cuInit(unsigned flags) {
  (void)flags;
  return answer("POOR_DRIVER_INIT");
}
int cuDriverGetVersion(int* version) {
  *version = answer("POOR_DRIVER_VERSION");
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = 0;
  return cuInit(0);
}
int cuGetExportTable(const void** table, const void* id) {
  (void)id;
  *table = NULL;
  return missing();
}
int cuGetProcAddress_v2(const char* name, void** function, int version, unsigned long long flags, int* status) {
  (void)version;
  (void)flags;
  *function = (void*)missing;
  if (strcmp(name, "cuInit") == 0) *function = (void*)cuInit;
  if (strcmp(name, "cuDriverGetVersion") == 0) *function = (void*)cuDriverGetVersion;
  if (strcmp(name, "cuDeviceGetCount") == 0) *function = (void*)cuDeviceGetCount;
  if (strncmp(name, "cuGetProcAddress", 16) == 0) *function = (void*)cuGetProcAddress_v2;
  if (status != NULL) *status = 0;
  return 0;
}
int cuGetProcAddress(const char* name, void** function, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
