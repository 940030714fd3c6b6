/* SPDX-License-Identifier: MIT
 *
 * Threads that share one job and are gone when it is done: none is left over for fork() to lose.
 */
#ifndef MICROGRAD_C_TEAM_H
#define MICROGRAD_C_TEAM_H

#include <stddef.h>

enum { MOST_THREADS = 64 };

typedef void (*Work)(void *job, int worker);

typedef struct {
    Work work;
    void *job;
    int worker;
} Task;

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef struct {
    volatile LONG64 value;
} Counter;
typedef struct {
    volatile LONG value;
} Flag;
typedef HANDLE Thread;

static inline size_t counter_next(Counter *counter) { return (size_t)InterlockedIncrement64(&counter->value) - 1; }
static inline int flag_is_set(Flag *flag) { return flag->value != 0; }
static inline void flag_set(Flag *flag) { InterlockedExchange(&flag->value, 1); }

static inline void *pointer_swap(void **at, void *with) { return InterlockedExchangePointer(at, with); }

static DWORD WINAPI thread_main(LPVOID task_) {
    Task *task = task_;
    task->work(task->job, task->worker);
    return 0;
}
static inline int thread_start(Thread *thread, Task *task) {
    *thread = CreateThread(NULL, 0, thread_main, task, 0, NULL);
    return *thread != NULL;
}
static inline void thread_join(Thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}
static inline int processors(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}

#else

#include <pthread.h>
#include <unistd.h>

typedef struct {
    size_t value;
} Counter;
typedef struct {
    int value;
} Flag;
typedef pthread_t Thread;

static inline size_t counter_next(Counter *counter) { return __atomic_fetch_add(&counter->value, 1, __ATOMIC_RELAXED); }
static inline int flag_is_set(Flag *flag) { return __atomic_load_n(&flag->value, __ATOMIC_RELAXED); }
static inline void flag_set(Flag *flag) { __atomic_store_n(&flag->value, 1, __ATOMIC_RELAXED); }

static inline void *pointer_swap(void **at, void *with) { return __atomic_exchange_n(at, with, __ATOMIC_ACQ_REL); }

static void *thread_main(void *task_) {
    Task *task = task_;
    task->work(task->job, task->worker);
    return NULL;
}
static inline int thread_start(Thread *thread, Task *task) {
    return pthread_create(thread, NULL, thread_main, task) == 0;
}
static inline void thread_join(Thread thread) { pthread_join(thread, NULL); }
static inline int processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}

#endif

/* Runs work(job, 0 ... threads - 1), 0 in the calling thread. Where threads cannot be had, fewer do. */
static inline void team_run(Work work, void *job, int threads) {
    Thread thread[MOST_THREADS];
    Task task[MOST_THREADS];
    int started = 0;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    for (int k = 1; k < threads; k++) {
        task[started] = (Task){work, job, k};
        if (!thread_start(&thread[started], &task[started])) break;
        started++;
    }
    work(job, 0);
    for (int k = 0; k < started; k++) thread_join(thread[k]);
}

#endif
