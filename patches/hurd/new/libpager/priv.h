/* The inside of a pager.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later

   What kernels and the user want is told to a coherent object (coherence.h), under
   the pager's lock; what is to be done then is put into queues: messages for each
   kernel, and jobs for the store, which are the user's callbacks.  Worker threads
   (requests.c) do it, without the lock.  Workers take the messages, too, in order, from
   the thread that receives them, which waits for nothing, and asks nobody for anything:
   what is between us and the kernel (rpctrace, say) may wait for it.  That thread and the
   clock give their references to workers: who drops the last one calls the user.  */

#ifndef _PAGER_PRIV_H
#define _PAGER_PRIV_H

#include <mach.h>
#include <hurd.h>
#include <sys/mman.h>
#include <pthread.h>
#include <hurd/ports.h>

#include "pager.h"
#include "coherence.h"
#include "containers.h"

/* A page of data.  The coherent object has one reference, and each message that is to be
   sent with it.  */
struct datum
{
  vm_address_t page;
  int refs;
};

/* Something to be told to a kernel.  */
struct message
{
  struct coh_action a;
  int attributes_reply;		/* change_completed is wanted */
};

/* A port by which kernels come: the pager's own, or that for reading only.  Whoever has a
   reference to the port has one to the pager.  */
struct entrance
{
  struct port_info *port;
  struct pager *pager;
  int late;			/* watches over kernels that are gone, whose messages come yet */
  uint8_t closed;		/* the port is gone */
};

/* The port for reading only.  Nobody who has come by it is let write (S2).  It is another
   object to a kernel that has the pager's own port, too.  It has a reference to the pager,
   and the pager a weak one to it.  */
struct readonly
{
  struct port_info port;	/* first: it is a port */
  struct entrance entrance;
};

/* A kernel that uses the object.  */
struct kernel
{
  coh_client id;
  struct entrance *by;
  mach_port_t control, name;
  VEC (struct message) out;
  uint8_t deaf;			/* it is not heard any more, and gone after the last message */
  uint8_t gone;
  uint8_t terminated;		/* control and name are receive rights */
  uint8_t sending;
  uint8_t watched;		/* a notice of its death comes, for which the entrance stays */
  uint8_t heard;		/* the notice has come */
  uint8_t dead;			/* it is, and its last message is */
  mach_port_seqno_t last;
  uint8_t slow;			/* its queue is full; since: */
  coh_tick since;
  int attributes;		/* answers to change_attributes that have not come */
  unsigned long supplied;	/* pages */
};

enum job_kind { JOB_LOAD, JOB_STORE, JOB_RESERVE, JOB_EVICT, JOB_ANSWER };

struct job
{
  enum job_kind kind;
  int64_t first;
  size_t n;
  struct datum **data;		/* of a store */
  coh_token token;		/* of an answer */
  int err;
};

/* Something that a worker can do.  */
struct task
{
  struct task *next;
  void (*run) (struct task *);
  uint8_t queued;
};

/* What one can do for a pager.  */
enum task_kind { TASK_RECEIVE, TASK_SEND, TASK_STORE, TASK_TICK };
struct pager_task
{
  struct task task;
  struct pager *pager;
};

/* A thread that waits for an answer.  */
struct waiter
{
  coh_token token;
  int done, err;
  struct waiter *next;
};

/* What is known of a page besides: flags, and the last error of it in the upper bits.  */
enum
{
  MARK_LOCKED = 1,		/* the user wants to be asked before it is written to */
  MARK_ALLOWED = 2,		/* somebody will write to it when it has been read */
  MARK_EVICTED = 4,		/* the user is told as soon as nobody has it */
  MARK_ZERO = 8,		/* it is a hole: when the user has been asked, its store has something
				   else, until it has been written */
  MARK_ERROR = 16		/* the error, times this */
};
#define MAX_MARKS 65536

struct pager
{
  struct port_info port;	/* first: a pager is a port */
  struct user_pager_info *upi;
  struct pager_requests *requests;
  int notify_on_evict;

  pthread_mutex_t lock;
  pthread_cond_t wakeup;	/* a waiter is done, or attributes have changed */
  struct coh *coh;
  struct coh_attributes attributes;
  coh_token token;
  coh_tick time, looked;	/* the object's time; when that was looked at */
  struct waiter *waiters;
  VEC (struct kernel *) kernels;
  VEC (struct job) jobs;
  uint8_t storing;		/* somebody is at it: */
  struct job doing;
  uint8_t shut;			/* closed */
  uint8_t own_upi;
  int dying;			/* kernels that are dead */
  struct entrance own;
  struct entrance *from;	/* of the message that is taken now; the one who takes it sets it */
  struct readonly *readonly;	/* that is handed out, under a lock of its own */
  struct pager_task tasks[4];
  /* Of the bucket's, and under its lock.  */
  struct incoming *in, **in_tail;
  uint8_t receiving;
  struct
  {
    unsigned long requests, unlocks, supplied, most, returned, locks, failed, loaded, stored;
  } count;			/* for pager_info: pages, but for locks; most: of one kernel */
  struct map marks;
  VEC (int64_t) evicted;	/* pages with that mark */
  VEC (struct job) answers;	/* when the user has been told of those */
  /* Of the clock's list, which has a weak reference, and under its lock.  */
  struct pager *next_timed;
  uint8_t timed;
  coh_tick due;
};

typedef struct pager *pager_t;

extern struct port_class *_pager_class;

/* What pager_info says.  */
typedef char pager_text_t[512];

/* The entrances that messages come by, with a reference to the port.  */
struct entrance *_pager_entrance_of_port (mach_port_t port);
struct entrance *_pager_entrance_of_payload (uintptr_t payload);

/* The pagers that messages are for, and the end of looking at them.  The messages themselves
   have references meanwhile.  */
struct pager *_pager_of_port (mach_port_t port);
struct pager *_pager_of_payload (uintptr_t payload);

static inline void
_pager_done (struct pager *p)
{
  if (p)
    ports_port_deref (p);
}

/* pager.c: around everything that is told to the coherent object.  What is to be done
   about it is put into queues by _pager_after, with the lock held.  */
void _pager_begin (struct pager *p);
void _pager_after (struct pager *p);
void _pager_end (struct pager *p);
void _pager_remove_kernel (struct pager *p, struct kernel *k, int terminated);
struct kernel *_pager_kernel (struct pager *p, mach_port_t control);
struct kernel *_pager_any_kernel (struct pager *p, mach_port_t control);	/* deaf as well */
void _pager_refuse_kernel (struct pager *p, mach_port_t control, mach_port_t name);
void _pager_dead_name (struct entrance *by, mach_port_t name);
void _pager_late (struct entrance *by);
void _pager_served (struct entrance *by, mach_port_seqno_t number);

/* What workers do.  */
void _pager_receive (struct pager *p);
void _pager_send (struct pager *p);
void _pager_store (struct pager *p);

/* requests.c.  */
struct pager_requests *_pager_requests_of (struct port_bucket *bucket);
struct port_bucket *_pager_readonly_bucket (struct pager *p);
void _pager_schedule (struct pager *p, enum task_kind kind);
void _pager_watch (struct pager *p, coh_tick due);
void _pager_unwatch (struct pager *p);

coh_tick _pager_now (void);

/* messages.c.  */
/* Tells a kernel something.  REPLY, if it wants an answer, is a send right of the pager's,
   and is used up.  */
error_t _pager_tell (mach_port_t control, struct message *m, mach_port_t reply);

void _pager_clean (void *p);
void _pager_real_dropweak (void *p);

#endif
