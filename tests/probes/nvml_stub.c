/* A libnvidia-ml.so.1 that shows what the environment asks for: see test_nvml_stub.py.
 *
 * STUB_HANG, STUB_CRASH   name of a function that never returns, or dies of SIGSEGV
 * STUB_FAIL               "function=code,function@device=code,...": functions that answer an error
 * STUB_DEVICES            how many devices there are (2)
 * STUB_DRIVER, STUB_CUDA  release of the driver, and its CUDA as NVML counts (13000)
 * STUB_NAME, STUB_CAPABILITY, STUB_MEMORY ("total,free" in MiB), STUB_REASONS (bits),
 * STUB_TEMPERATURE, STUB_ECC ("corrected since start,uncorrected,corrected ever,uncorrected"),
 * STUB_ROWS ("corrected,uncorrected,pending,failed"), STUB_PAGES ("single,double,pending"),
 * STUB_MIG (how many instances; the mode is on where it is set), STUB_MODE (compute mode),
 * STUB_PROCESSES ("pid:path:MiB,...", on the first device; MiB -1: the driver does not know)
 *
 * Compiled with -DOLD_DRIVER it lacks what came after driver 470.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };
enum { PARTS = 1000, SLOTS = 16 };

typedef void *device;
typedef unsigned long long count;

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static long number(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? strtol(value, NULL, 0) : otherwise;
}

/* The n-th number of a list. */
static long item(const char *name, int n) {
    const char *at = setting(name, "");
    while (n-- && at)
        if ((at = strchr(at, ',')))
            at++;
    return at ? strtol(at, NULL, 0) : 0;
}

static int index_of(device d) {
    long handle = (long)d;
    return (int)(handle >= PARTS ? (handle - PARTS) / SLOTS : handle - 1);
}

static int is_part(device d) { return (long)d >= PARTS; }

/* What a function does first: hang, crash, or answer with the error that is asked for. */
static int enter(const char *function, int place) {
    char wanted[128];
    const char *found;
    if (!strcmp(setting("STUB_HANG", ""), function))
        for (;;)
            pause();
    if (!strcmp(setting("STUB_CRASH", ""), function))
        raise(SIGSEGV);
    snprintf(wanted, sizeof wanted, "%s=", function);
    if ((found = strstr(setting("STUB_FAIL", ""), wanted)))
        return atoi(found + strlen(wanted));
    snprintf(wanted, sizeof wanted, "%s@%d=", function, place);
    if ((found = strstr(setting("STUB_FAIL", ""), wanted)))
        return atoi(found + strlen(wanted));
    return SUCCESS;
}

#define ENTER(place)                          \
    do {                                      \
        int failed = enter(__func__, place);  \
        if (failed)                           \
            return failed;                    \
    } while (0)

const char *nvmlErrorString(int code) {
    switch (code) {
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; ENTER(0); return SUCCESS; }
int nvmlInit_v2(void) { ENTER(0); return SUCCESS; }
int nvmlShutdown(void) { ENTER(0); return SUCCESS; }

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    ENTER(0);
    snprintf(text, size, "%s", setting("STUB_DRIVER", "580.65.06"));
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    ENTER(0);
    *version = (int)number("STUB_CUDA", 13000);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *found) {
    ENTER(0);
    *found = (unsigned)number("STUB_DEVICES", 2);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, device *found) {
    ENTER((int)i);
    *found = (device)(long)(i + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(device d, char *text, unsigned size) {
    ENTER(index_of(d));
    snprintf(text, size, "%s%s", setting("STUB_NAME", "NVIDIA L4"), is_part(d) ? " MIG 1g.5gb" : "");
    return SUCCESS;
}

int nvmlDeviceGetUUID(device d, char *text, unsigned size) {
    ENTER(index_of(d));
    if (is_part(d))
        snprintf(text, size, "MIG-%08ld-0000-0000-0000-%012d", (long)d - PARTS, index_of(d));
    else
        snprintf(text, size, "GPU-%08d-aaaa-bbbb-cccc-%012d", index_of(d), index_of(d));
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(device d, int *major, int *minor) {
    ENTER(index_of(d));
    sscanf(setting("STUB_CAPABILITY", "8.9"), "%d.%d", major, minor);
    return SUCCESS;
}

struct memory { count total, free, used; };

int nvmlDeviceGetMemoryInfo(device d, struct memory *memory) {
    ENTER(index_of(d));
    memory->total = getenv("STUB_MEMORY") ? (count)item("STUB_MEMORY", 0) << 20 : 23034ull << 20;
    memory->free = getenv("STUB_MEMORY") ? (count)item("STUB_MEMORY", 1) << 20 : 22478ull << 20;
    memory->used = memory->total - memory->free;
    return SUCCESS;
}

int nvmlDeviceGetPersistenceMode(device d, unsigned *mode) {
    ENTER(index_of(d));
    *mode = 1;
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(device d, unsigned *mode) {
    ENTER(index_of(d));
    *mode = (unsigned)number("STUB_MODE", 0);
    return SUCCESS;
}

int nvmlDeviceGetTemperature(device d, unsigned sensor, unsigned *celsius) {
    (void)sensor;
    ENTER(index_of(d));
    *celsius = (unsigned)number("STUB_TEMPERATURE", 41);
    return SUCCESS;
}

int nvmlDeviceGetTemperatureThreshold(device d, unsigned kind, unsigned *celsius) {
    (void)kind;
    ENTER(index_of(d));
    *celsius = 95;
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(device d, count *bits) {
    ENTER(index_of(d));
    *bits = (count)number("STUB_REASONS", 1);
    return SUCCESS;
}

int nvmlDeviceGetEccMode(device d, unsigned *now, unsigned *later) {
    ENTER(index_of(d));
    if (!getenv("STUB_ECC"))
        return NOT_SUPPORTED;
    *now = *later = 1;
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(device d, unsigned kind, unsigned counter, count *errors) {
    ENTER(index_of(d));
    *errors = (count)item("STUB_ECC", (int)(kind + 2 * counter));
    return SUCCESS;
}

int nvmlDeviceGetRetiredPages(device d, unsigned cause, unsigned *found, count *pages) {
    ENTER(index_of(d));
    if (!getenv("STUB_PAGES"))
        return NOT_SUPPORTED;
    unsigned pages_there = (unsigned)item("STUB_PAGES", (int)cause), room = *found;
    *found = pages_there;
    if (room < pages_there)
        return TOO_SMALL;
    for (unsigned i = 0; pages && i < pages_there; i++)
        pages[i] = 4096 * i;
    return SUCCESS;
}

int nvmlDeviceGetRetiredPagesPendingStatus(device d, unsigned *pending) {
    ENTER(index_of(d));
    *pending = (unsigned)item("STUB_PAGES", 2);
    return SUCCESS;
}

struct process { unsigned pid; count memory; unsigned instance, part; };

static int processes(device d, unsigned *found, struct process *list) {
    const char *at = index_of(d) ? "" : setting("STUB_PROCESSES", "");
    unsigned there = 0, room = *found;
    for (; at && *at; there++) {
        const char *memory = strchr(strchr(at, ':') + 1, ':') + 1;
        if (list && there < room) {
            list[there].pid = (unsigned)atoi(at);
            list[there].memory = atoi(memory) < 0 ? ~0ull : (count)atoi(memory) << 20;
        }
        at = strchr(memory, ',');
        at = at ? at + 1 : NULL;
    }
    *found = there;
    return room < there ? TOO_SMALL : SUCCESS;
}

int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned size) {
    ENTER(0);
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%u:", pid);
    const char *at = strstr(setting("STUB_PROCESSES", ""), wanted);
    if (!at)
        return NOT_FOUND;
    at += strlen(wanted);
    snprintf(text, size, "%.*s", (int)(strchr(at, ':') - at), at);
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v2(device d, unsigned *found, struct process *list) {
    ENTER(index_of(d));
    return processes(d, found, list);
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(device d, unsigned *found, struct process *list) {
    ENTER(index_of(d));
    (void)list;
    *found = 0;
    return SUCCESS;
}

#ifndef OLD_DRIVER

int nvmlDeviceGetComputeRunningProcesses_v3(device d, unsigned *found, struct process *list) {
    ENTER(index_of(d));
    return processes(d, found, list);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device d, unsigned *found, struct process *list) {
    return nvmlDeviceGetGraphicsRunningProcesses_v2(d, found, list);
}

int nvmlDeviceGetCurrentClocksEventReasons(device d, count *bits) {
    ENTER(index_of(d));
    *bits = (count)number("STUB_REASONS", 1);
    return SUCCESS;
}

int nvmlDeviceGetRemappedRows(device d, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed) {
    ENTER(index_of(d));
    if (!getenv("STUB_ROWS"))
        return NOT_SUPPORTED;
    *corrected = (unsigned)item("STUB_ROWS", 0);
    *uncorrected = (unsigned)item("STUB_ROWS", 1);
    *pending = (unsigned)item("STUB_ROWS", 2);
    *failed = (unsigned)item("STUB_ROWS", 3);
    return SUCCESS;
}

int nvmlDeviceGetMigMode(device d, unsigned *now, unsigned *later) {
    ENTER(index_of(d));
    *now = *later = getenv("STUB_MIG") != NULL;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(device d, unsigned *found) {
    ENTER(index_of(d));
    *found = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device d, unsigned i, device *found) {
    ENTER(index_of(d));
    if ((long)i >= number("STUB_MIG", 0))
        return NOT_FOUND;
    *found = (device)(long)(PARTS + index_of(d) * SLOTS + (int)i);
    return SUCCESS;
}

#endif
