/* Copying to and from a pager's memory.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <hurd/sigpreempt.h>

#include "priv.h"

#define WINDOW_PAGES 64

/* A copy of a thread's, which a fault ends.  */
struct copy
{
  char *window;			/* in the pager's memory */
  char *other;
  size_t size;
  int write;
  volatile size_t done;
};

static __thread struct copy *current;

static error_t
do_copy (struct hurd_signal_preemptor *preemptor)
{
  (void) preemptor;
  struct copy *c = current;
  while (c->done < c->size)
    {
      char *w = c->window + c->done;
      size_t n = vm_page_size - ((uintptr_t) w & (vm_page_size - 1));
      if (n > c->size - c->done)
	n = c->size - c->done;
      if (c->write)
	memcpy (w, c->other + c->done, n);
      else
	memcpy (c->other + c->done, w, n);
      c->done += n;
    }
  return 0;
}

error_t
pager_memcpy (struct pager *p, memory_object_t object, vm_offset_t offset, void *other,
	      size_t *size, vm_prot_t prot)
{
  size_t done = 0;
  error_t err = 0;
  sigset_t faults;
  sigemptyset (&faults);
  sigaddset (&faults, SIGSEGV);
  sigaddset (&faults, SIGBUS);

  /* By the pager's own port, whichever the caller has: by that for reading it would be another
     object to this kernel, with pages of its own.  */
  mach_port_t own = MACH_PORT_NULL;
  if (object != p->port.port_right)
    {
      pthread_mutex_lock (&p->lock);
      if (! p->own.closed)
	object = own = ports_get_send_right (p);
      pthread_mutex_unlock (&p->lock);
    }
  while (done < *size && ! err)
    {
      vm_offset_t at = offset + done, into = at & (vm_page_size - 1);
      size_t n = WINDOW_PAGES * vm_page_size - into;
      if (n > *size - done)
	n = *size - done;
      vm_address_t window = 0;
      vm_size_t length = round_page (into + n);
      err = vm_map (mach_task_self (), &window, length, 0, 1, object, at - into, 0,
		    prot, prot, VM_INHERIT_NONE);
      if (err)
	break;
      struct copy c = {
	.window = (char *) window + into, .other = (char *) other + done,
	.size = n, .write = (prot & VM_PROT_WRITE) != 0,
      };
      current = &c;
      err = hurd_catch_signal (faults, window, window + length - 1, do_copy, SIG_ERR);
      done += c.done;
      if (err)
	{
	  error_t why = pager_get_error (p, trunc_page (offset + done));
	  err = why ? why : EIO;
	}
      vm_deallocate (mach_task_self (), window, length);
    }
  if (MACH_PORT_VALID (own))
    mach_port_deallocate (mach_task_self (), own);
  *size = done;
  return err;
}
